"""Turns the buffer of surface numbers into light: exact depth, textures fixed to the surfaces, sun, lamps and haze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic.camera import View
from t2g_ros.training.synthetic.furniture import LAMP_HEIGHT
from t2g_ros.training.synthetic.raster import SUPERSAMPLE
from t2g_ros.training.synthetic.street import Street
from t2g_ros.training.synthetic.styles import Style
from t2g_ros.training.synthetic.surfaces import FACE
from t2g_ros.training.synthetic.textures import LEVELS, SIZE, atlas

F32 = NDArray[np.float32]
SKY_HEIGHT_M = 400.0
_WARM = np.float32([1.0, 0.72, 0.42])


@dataclass(frozen=True)
class Skyline:
    """Height of the left and right house fronts, which throw the shadows of the street."""

    heights: F32
    """(2, n), per metre of z from `z0` on."""
    z0: float


def _samples(buffer: NDArray[np.int32]) -> tuple[NDArray, NDArray, F32, F32, NDArray[np.bool_]]:
    """Where to shade: once per pixel, and four times in pixels that an edge runs through.

    Returns:
        surface numbers, flat output pixels, x and y in pixels of the image, and the (h, w) mask of edges.
    """
    quads = [buffer[j::SUPERSAMPLE, i::SUPERSAMPLE] for j in range(2) for i in range(2)]
    edge = (quads[0] != quads[1]) | (quads[0] != quads[2]) | (quads[0] != quads[3])
    width = edge.shape[1]
    inner, outer = np.flatnonzero(~edge), np.flatnonzero(edge)
    numbers = np.concatenate([quads[0].ravel()[inner], *(q.ravel()[outer] for q in quads)])
    x, y = (inner % width).astype(np.float32), (inner // width).astype(np.float32)
    ex, ey = (outer % width).astype(np.float32), (outer // width).astype(np.float32)
    xs = np.concatenate([x + 0.5, ex + 0.25, ex + 0.75, ex + 0.25, ex + 0.75])
    ys = np.concatenate([y + 0.5, ey + 0.25, ey + 0.25, ey + 0.75, ey + 0.75])
    return numbers, np.concatenate([inner, outer]), xs, ys, edge


def _planes(surfaces: NDArray[np.void], view: View) -> tuple[F32, F32, F32, F32]:
    """Per surface: 1 / depth (3, n), u (4, n) and v (4, n) as linear forms of the ray, and distance (n,).

    1 / depth = c . ray; u = c0 + depth * (c1..3 . ray).
    """
    rotation = view.rotation
    origin = surfaces["points"][:, 0].astype(np.float64)
    normal = surfaces["normal"].astype(np.float64)
    to_camera = view.position - origin
    facing = surfaces["kind"] == FACE
    normal[~facing] = -rotation[2]
    distance = (to_camera * normal).sum(axis=1)
    # Round shapes are shaded as discs that face the camera.
    across = np.stack([normal[:, 2], np.zeros(len(normal)), -normal[:, 0]], axis=1)
    level = np.abs(normal[:, 1]) > 0.95
    across[level] = (1.0, 0.0, 0.0)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    across *= np.sign(across @ [1.0, 0.0, 1e-3] + 1e-9)[:, None]
    upward = np.cross(normal, across)
    upward[level] = (0.0, 0.0, 1.0)
    upward *= np.where(upward[:, 1] < 0, -1.0, 1.0)[:, None]
    safe = np.where(np.abs(distance) < 1e-3, 1e-3, distance)
    depth = -(normal @ rotation.T) / safe[:, None]
    forms = []
    for axis, size in ((across, surfaces["scale"][:, 0]), (upward, surfaces["scale"][:, 1])):
        constant = (to_camera * axis).sum(axis=1)
        forms.append((np.column_stack([constant, axis @ rotation.T]) / size[:, None]).T.astype(np.float32))
    return depth.T.astype(np.float32), forms[0], forms[1], np.abs(safe).astype(np.float32)


def _shadow(style: Style, street: Street, skyline: Skyline, x: F32, y: F32, z: F32) -> F32:
    """1 in the sun, 0 where the house front on the sun's side is in the way."""
    side = 1 if style.sun_towards[0] > 0 else -1
    run = np.maximum(side * (side * (street.border_x + 0.8) - x), 0) / max(abs(float(style.sun_towards[0])), 1e-3)
    at = np.clip(z + run * style.sun_towards[2] - skyline.z0, 0, skyline.heights.shape[1] - 1)
    hit = skyline.heights[(side + 1) // 2][at.astype(np.int32)]
    return np.clip(0.5 + 1.2 * (y + run * style.sun_towards[1] - hit), 0, 1)


def _lamps(style: Style, street: Street, view: View, x: F32, y: F32, z: F32, ray_x: F32, depth: F32) -> tuple[F32, F32]:
    """Light of the street lamps and of the car's own headlights at each sample."""
    along = (z / street.lamp_gap_m - np.round(z / street.lamp_gap_m)) * street.lamp_gap_m
    reach = street.kerb_x - 0.9
    near = 2 * (np.abs(x) - reach) ** 2 + along**2 + (y - LAMP_HEIGHT) ** 2
    street_light = 26.0 / (8.0 + near) * np.clip(1.6 - y / LAMP_HEIGHT, 0.05, 1)
    beam = np.exp(-((ray_x / 0.42) ** 2)) * np.clip(1.9 - 0.55 * y, 0.12, 1.0)
    own = 2.0 * beam / (1 + (depth / 13.0) ** 2) * np.clip(depth - 1.5, 0, 1)
    return style.lamps * street_light, style.lamps * own


def shade(
    buffer: NDArray[np.int32], surfaces: NDArray[np.void], view: View, street: Street, skyline: Skyline, style: Style
) -> tuple[F32, F32]:
    """Return the linear (h, w, 3) light and the (h, w) depth in metres; surface 0 is the sky."""
    numbers, pixels, xs, ys, edge = _samples(buffer)
    height, width = edge.shape
    ray_x = (xs - width / 2) / np.float32(view.focal_px)
    ray_y = (height / 2 - ys) / np.float32(view.focal_px)
    inverse, form_u, form_v, distance = _planes(surfaces, view)

    def linear(c: F32) -> F32:
        return c[0][numbers] * ray_x + c[1][numbers] * ray_y + c[2][numbers]

    depth = 1 / np.maximum(linear(inverse), 1e-4)
    u = form_u[0][numbers] + depth * linear(form_u[1:])
    v = form_v[0][numbers] + depth * linear(form_v[1:])
    texels = (SIZE / np.sqrt(surfaces["scale"].prod(axis=1)) / view.focal_px).astype(np.float32)
    footprint = texels[numbers] * depth * np.sqrt(np.maximum(depth / distance[numbers], 1))
    level = np.clip(np.log2(footprint + 1e-6) + 0.5, 0, LEVELS - 1).astype(np.int32)
    texture = atlas().sample(surfaces["tile"][numbers], level, u, v).astype(np.float32)
    bright, mask, lit = texture[:, 0] / 127.5, texture[:, 1:2] / 255, texture[:, 2] / 255

    rotation = view.rotation.astype(np.float32)
    up = rotation[0, 1] * ray_x + rotation[1, 1] * ray_y + rotation[2, 1]
    x = view.position[0].astype(np.float32) + depth * (rotation[0, 0] * ray_x + rotation[1, 0] * ray_y + rotation[2, 0])
    y = view.position[1].astype(np.float32) + depth * up
    z = view.position[2].astype(np.float32) + depth * (rotation[0, 2] * ray_x + rotation[1, 2] * ray_y + rotation[2, 2])

    base, second = surfaces["base"] ** 2.2, surfaces["second"] ** 2.2
    albedo = (base[numbers] + mask * (second - base)[numbers]) * bright[:, None]
    normal = np.where(surfaces["kind"][:, None] == FACE, surfaces["normal"], view.rotation[2] * [-0.6, 0, -0.6] + [0, 0.5, 0])
    facing_sun = normal @ style.sun_towards
    facing_sun = np.where(surfaces["two_sided"], np.abs(facing_sun), np.maximum(facing_sun, 0)).astype(np.float32)
    open_sky = (0.68 + 0.32 * normal[:, 1]).astype(np.float32)
    ground_contact = np.clip(0.72 + 0.22 * y, 0.72, 1.0)
    ground_contact[surfaces["layer"][numbers] > 0] = 1.0
    light = (open_sky[numbers] * ground_contact)[:, None] * style.ambient
    if style.sun.any():
        sunlit = facing_sun[numbers] * _shadow(style, street, skyline, x, y, z)
        light += sunlit[:, None] * style.sun
    color = albedo * light
    if style.lamps:
        street_light, own = _lamps(style, street, view, x, y, z, ray_x, depth)
        color += albedo * (street_light[:, None] * _WARM + own[:, None])
        color += (lit * 0.9 * style.lamps)[:, None] * _WARM
    color += albedo * (surfaces["glow"] * np.float32(style.glow))[numbers][:, None]
    haze = np.exp(-depth / np.float32(style.haze_m))[:, None]
    color = style.horizon + haze * (color - style.horizon)

    sky = np.flatnonzero(numbers == 0)
    color[sky] = _sky(style, up[sky] / np.sqrt(1 + ray_x[sky] ** 2 + ray_y[sky] ** 2), mask[sky, 0])
    return _resolve(color, pixels, edge), _resolve(np.minimum(depth, 1e3)[:, None], pixels, edge)[..., 0]


def _sky(style: Style, sine: F32, cloud: F32) -> F32:
    """Sky colour at the sine of an elevation, behind clouds of the texture's density."""
    rise = np.clip(1 - np.exp(-3.2 * np.maximum(sine, 0)), 0, 1)[:, None]
    clear = style.horizon + rise * (style.zenith - style.horizon)
    cover = np.clip(1.5 * (cloud + style.cloudiness - 0.15), 0, 1) * np.clip(5 * sine, 0, 1)
    return clear + cover[:, None] * (style.cloud * (0.7 + 0.3 * cloud[:, None]) - clear)


def _resolve(samples: F32, pixels: NDArray, edge: NDArray[np.bool_]) -> F32:
    """Put samples (n, c) into the image (h, w, c), the four of an edge pixel as their mean."""
    inner = edge.size - int(edge.sum())
    out = np.empty((edge.size, samples.shape[1]), np.float32)
    out[pixels[:inner]] = samples[:inner]
    out[pixels[inner:]] = samples[inner:].reshape(4, -1, samples.shape[1]).mean(axis=0)
    return out.reshape(*edge.shape, -1)
