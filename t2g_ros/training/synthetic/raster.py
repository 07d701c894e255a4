"""Paints surfaces back to front into a buffer of surface numbers: image and labels both come from it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic.camera import View
from t2g_ros.training.synthetic.surfaces import BLOB, CAPSULE, FACE, MAX_POINTS

NEAR_M = 0.4
SUPERSAMPLE = 2
_FRACTION_BITS = 4


def painting_order(surfaces: NDArray[np.void], view: View, strips_x: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the surfaces' numbers in the order to paint them.

    The street is cut into strips along it at `strips_x`. No ray from the camera meets an outer strip
    before an inner one, and inside one strip objects follow each other, so strips from the outside in and
    distances from far to near give an exact order without a depth test.
    """
    edges = np.concatenate([[-np.inf], strips_x, [np.inf]])
    strip = np.searchsorted(strips_x, surfaces["anchor"][:, 0])
    x = view.position[0]
    outward = np.maximum(np.maximum(edges[strip] - x, x - edges[strip + 1]), 0.0)
    return np.lexsort((-surfaces["anchor"][:, 1], -outward, -surfaces["layer"]))


def camera_points(surfaces: NDArray[np.void], view: View) -> NDArray[np.float32]:
    """Return the (n, 16, 3) outlines in camera coordinates; round shapes get theirs here."""
    rotation = view.rotation.astype(np.float32)
    points = (surfaces["points"] - view.position.astype(np.float32)) @ rotation.T
    at = surfaces["kind"] == CAPSULE
    if at.any():
        a, b, radii = points[at, :1], points[at, 1:2], surfaces["radii"][at]
        along = (b - a)[..., :2]
        along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
        angle = np.linspace(-np.pi / 2, np.pi / 2, MAX_POINTS // 2, dtype=np.float32)
        across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        cap = np.cos(angle)[:, None] * along + np.sin(angle)[:, None] * across
        ends = points[at].copy()
        half = MAX_POINTS // 2
        ends[:, :half], ends[:, half:] = b, a
        ends[:, :half, :2] += radii[:, 1, None, None] * cap
        ends[:, half:, :2] -= radii[:, 0, None, None] * cap
        points[at] = ends
    at = surfaces["kind"] == BLOB
    if at.any():
        angle = np.arange(MAX_POINTS, dtype=np.float32) * np.float32(2 * np.pi / MAX_POINTS)
        ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
        points[at] = points[at, :1] + surfaces["radii"][at][..., None] * ring
    return points


def _clip_near(polygon: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off what lies nearer than NEAR_M (Sutherland and Hodgman)."""
    out = []
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if a[2] >= NEAR_M:
            out.append(a)
        if (a[2] >= NEAR_M) != (b[2] >= NEAR_M):
            out.append(a + (b - a) * ((NEAR_M - a[2]) / (b[2] - a[2])))
    return np.array(out, np.float32)


def paint(surfaces: NDArray[np.void], view: View) -> NDArray[np.int32]:
    """Return the (2h, 2w) buffer of surface numbers, 0 (the first surface, the sky) where nothing was painted."""
    scale = SUPERSAMPLE
    height, width = view.size[0] * scale, view.size[1] * scale
    buffer = np.zeros((height, width), np.int32)
    points = camera_points(surfaces, view)
    ahead = points[..., 2]
    seen = ahead.max(axis=1) > NEAR_M
    towards = ((view.position - surfaces["points"][:, 0]) * surfaces["normal"]).sum(axis=1) > 1e-3
    seen &= towards | surfaces["two_sided"] | (surfaces["kind"] != FACE)
    seen[0] = False
    whole = ahead.min(axis=1) > NEAR_M

    def to_pixels(p: NDArray[np.float32]) -> NDArray[np.float32]:
        factor = view.focal_px / p[..., 2:]
        flat = p[..., :2] * factor * np.float32([1, -1])
        return (flat + np.float32([view.size[1] / 2, view.size[0] / 2])) * scale - 0.5

    safe = points.copy()
    safe[..., 2] = np.maximum(safe[..., 2], NEAR_M)
    pixels = to_pixels(safe)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    on_screen = (high > 0).all(axis=1) & (low < [width, height]).all(axis=1)
    seen &= on_screen | ~whole
    fixed = np.round(pixels * (1 << _FRACTION_BITS)).astype(np.int32)
    count = np.where(surfaces["kind"] == FACE, surfaces["count"], MAX_POINTS)
    convex = surfaces["kind"] != BLOB
    convex &= count <= 6
    convex |= surfaces["kind"] == CAPSULE
    for i in np.flatnonzero(seen).tolist():
        if whole[i]:
            outline = fixed[i, : count[i]]
        else:
            clipped = _clip_near(points[i, : count[i]])
            if len(clipped) < 3:
                continue
            outline = np.round(to_pixels(clipped) * (1 << _FRACTION_BITS)).astype(np.int32)
        if convex[i]:
            cv2.fillConvexPoly(buffer, outline, i, cv2.LINE_8, _FRACTION_BITS)
        else:
            cv2.fillPoly(buffer, [outline], i, cv2.LINE_8, _FRACTION_BITS)
    return buffer
