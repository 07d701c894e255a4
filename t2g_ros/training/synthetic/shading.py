"""Turns samples of surfaces into light: exact depth, textures fixed to the surfaces, sun, lamps and haze."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic.camera import View
from t2g_ros.training.synthetic.furniture import LAMP_HEIGHT
from t2g_ros.training.synthetic.planes import Planes
from t2g_ros.training.synthetic.sampling import Samples
from t2g_ros.training.synthetic.shadows import Shadows
from t2g_ros.training.synthetic.street import Street
from t2g_ros.training.synthetic.styles import Style
from t2g_ros.training.synthetic.surfaces import FACE
from t2g_ros.training.synthetic.textures import LEVELS, atlas

F32 = NDArray[np.float32]
CHUNK = 16384
"""Samples shaded at a time: what they need stays in the processor's cache."""
_WARM = (1.0, 0.72, 0.42)
_FAR_M = 1e3


class Shader:
    """Lights the surfaces of one instant; arrays are channels first, (3, n).

    Args:
        surfaces: in painting order; number 0 is the sky.
        view: the camera.
        street: for the places of its lamps.
        shadows: None where there is no sun.
        style: light and air.
    """

    def __init__(
        self, surfaces: NDArray[np.void], view: View, street: Street, shadows: Shadows | None, style: Style
    ) -> None:
        self._view, self._street, self._shadows, self._style = view, street, shadows, style
        self._planes = Planes(surfaces, view)
        self._tile = surfaces["tile"].astype(np.int32)
        self._ground = surfaces["layer"] > 0
        base, second = (surfaces[name].T.astype(np.float32) ** 2.2 for name in ("base", "second"))
        self._base, self._change = np.ascontiguousarray(base), np.ascontiguousarray(second - base)
        round_normal = view.rotation[2] * [-0.6, 0, -0.6] + [0, 0.55, 0]
        normal = np.where(surfaces["kind"][:, None] == FACE, surfaces["normal"], round_normal)
        facing = normal @ style.sun_towards
        self._to_sun = np.where(surfaces["two_sided"], np.abs(facing), np.maximum(facing, 0)).astype(np.float32)
        self._to_sky = (0.68 + 0.32 * normal[:, 1]).astype(np.float32)
        self._glow = surfaces["glow"] * np.float32(style.glow)

    def image(self, samples: Samples) -> tuple[F32, F32]:
        """Return the linear (h, w, 3) light and the (h, w) depth in metres."""
        color = np.empty((3, len(samples.x)), np.float32)
        depth = np.empty(len(samples.x), np.float32)
        for start in range(0, len(depth), CHUNK):
            part = slice(start, start + CHUNK)
            color[:, part], depth[part] = self._shade(samples.numbers[part], samples.x[part], samples.y[part])
        return np.stack([samples.image(c) for c in color], axis=-1), samples.image(np.minimum(depth, _FAR_M))

    def _shade(self, numbers: NDArray[np.intp], px: F32, py: F32) -> tuple[F32, F32]:
        view, style = self._view, self._style
        ray_x = (px - view.size[1] / 2) * np.float32(1 / view.focal_px)
        ray_y = (view.size[0] / 2 - py) * np.float32(1 / view.focal_px)
        depth, u, v, footprint = self._planes.at(numbers, ray_x, ray_y)
        level = np.clip(np.log2(footprint + 1e-6) + 0.5, 0, LEVELS - 1).astype(np.int32)
        texture = atlas().sample(np.take(self._tile, numbers), level, u, v)
        bright, mask, lit = (texture[:, k] * np.float32(s) for k, s in enumerate((1 / 127.5, 1 / 255, 1 / 255)))

        turn = view.rotation.astype(np.float32)
        x, rise, z = (turn[0, k] * ray_x + turn[1, k] * ray_y + turn[2, k] for k in range(3))
        x, z = (view.position[k].astype(np.float32) + depth * a for k, a in ((0, x), (2, z)))
        y = np.float32(view.position[1]) + depth * rise
        ground = np.take(self._ground, numbers)

        contact = np.where(ground, np.float32(1), np.clip(0.72 + 0.22 * y, 0.72, 1.0))
        from_sky = np.take(self._to_sky, numbers) * contact
        white = np.take(self._glow, numbers)
        sunlit = street_light = np.zeros(1, np.float32)
        if self._shadows is not None:
            sunlit = np.take(self._to_sun, numbers) * self._shadows.sunlight(x, y, z, ground)
        if style.lamps:
            street_light, own = self._lamps(x, y, z, ray_x, depth)
            white = white + own
        clear_air = np.exp(depth * np.float32(-1 / style.haze_m))
        sky = np.flatnonzero(numbers == 0)
        sine = rise[sky] / np.sqrt(1 + ray_x[sky] ** 2 + ray_y[sky] ** 2)
        gradient, cover = self._sky(sine, mask[sky])

        color = np.empty((3, len(numbers)), np.float32)
        for c in range(3):
            albedo = (np.take(self._base[c], numbers) + mask * np.take(self._change[c], numbers)) * bright
            light = from_sky * style.ambient[c] + sunlit * style.sun[c] + street_light * np.float32(_WARM[c]) + white
            surface = albedo * light + lit * np.float32(0.9 * style.lamps * _WARM[c])
            color[c] = style.horizon[c] + clear_air * (surface - style.horizon[c])
            clear = style.horizon[c] + gradient * (style.zenith[c] - style.horizon[c])
            color[c, sky] = clear + cover * (style.cloud[c] * (0.7 + 0.3 * mask[sky]) - clear)
        return color, depth

    def _lamps(self, x: F32, y: F32, z: F32, ray_x: F32, depth: F32) -> tuple[F32, F32]:
        """Light of the street lamps and of the car's own headlights."""
        gap, lamps = np.float32(self._street.lamp_gap_m), np.float32(self._style.lamps)
        along = z - np.round(z / gap) * gap
        near = 2 * (np.abs(x) - (self._street.kerb_x - 0.9)) ** 2 + along**2 + (y - LAMP_HEIGHT) ** 2
        street = lamps * 15.0 / (8.0 + near) * np.clip(1.6 - y / LAMP_HEIGHT, 0.05, 1)
        beam = np.exp(-((ray_x / 0.42) ** 2)) * np.clip(1.9 - 0.55 * y, 0.12, 1.0)
        own = 1.3 * lamps * beam / (1 + (depth / 13.0) ** 2) * np.clip(depth - 1.5, 0, 1)
        return street.astype(np.float32), own.astype(np.float32)

    def _sky(self, sine: F32, cloud: F32) -> tuple[F32, F32]:
        """Share of the zenith's colour at the sine of an elevation, and share hidden by clouds."""
        gradient = 1 - np.exp(-3.2 * np.maximum(sine, 0))
        cover = np.clip(1.5 * (cloud + self._style.cloudiness - 0.15), 0, 1) * np.clip(5 * sine, 0, 1)
        return gradient, cover
