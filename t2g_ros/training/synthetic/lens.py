"""From light to a camera image: wet roads, rain, bloom, tone curve, blur and sensor noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.training.synthetic.camera import View
from t2g_ros.training.synthetic.styles import Style

F32 = NDArray[np.float32]
NOISE_SIDE = 1024


class Lens:
    """The camera of one drive, with its own noise and rain."""

    def __init__(self, seed: int, style: Style) -> None:
        rng = np.random.default_rng((seed, 40))
        self.style = style
        self.seed = seed
        self._grain = rng.normal(0, style.noise, (NOISE_SIDE, NOISE_SIDE, 3)).astype(np.float32)
        self._drops = rng.uniform(0, 1, (260, 4))
        """x, phase, speed and distance of the rain drops."""

    def expose(self, light: F32, depth: F32, wet: F32, view: View, t_s: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 RGB image of linear `light`; `wet` (h, w) is 1 where water lies."""
        style = self.style
        height, width = light.shape[:2]
        unit = width / 480
        if style.wet:
            light = self._reflect(light, depth, wet, view)
        if style.glow > 0.5:
            bright = np.maximum(cv2.resize(light, (width // 4, height // 4), interpolation=cv2.INTER_AREA) - 0.9, 0)
            halo = cv2.GaussianBlur(np.minimum(bright, 4), (0, 0), 2.2 * unit)
            light = light + 0.7 * cv2.resize(halo, (width, height), interpolation=cv2.INTER_LINEAR)
        if style.rain:
            light = self._rain(light, t_s)
        grey = light.mean(axis=2, keepdims=True)
        light = np.maximum(grey + style.saturation * (light - grey), 0)
        image = 255 * np.sqrt(1 - np.exp(-1.35 * style.exposure * light))
        image = cv2.GaussianBlur(image, (0, 0), style.blur_px * unit)
        # The grain is the sensor's, not the world's: another piece of it for every time, found from the time.
        left, top = np.random.default_rng((self.seed, 41, int(round(t_s * 1e6)))).integers(0, NOISE_SIDE, 2)
        grain = np.take(self._grain, np.arange(top, top + height), axis=0, mode="wrap")
        grain = np.take(grain, np.arange(left, left + width), axis=1, mode="wrap")
        return np.clip(image + grain + 0.5, 0, 255).astype(np.uint8)

    def _reflect(self, light: F32, depth: F32, wet: F32, view: View) -> F32:
        """Mirror the scene about the horizon into wet ground, smeared upright as a rough water film does."""
        height, width = light.shape[:2]
        rows = np.clip(2 * view.horizon_px - np.arange(height), 0, height - 1).astype(np.float32)
        small = cv2.resize(light, (width // 2, height), interpolation=cv2.INTER_AREA)
        small = cv2.blur(np.minimum(small, 3), (3, max(3, height // 10)))
        columns = np.arange(width, dtype=np.float32) / 2
        grid_x, grid_y = np.meshgrid(columns, rows)
        mirror = cv2.remap(small, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        share = self.style.wet * wet * np.clip(0.12 + depth / 60, 0, 0.6)
        return light * (1 - 0.35 * self.style.wet * wet)[..., None] * (1 - share)[..., None] + share[..., None] * mirror

    def _rain(self, light: F32, t_s: float) -> F32:
        height, width = light.shape[:2]
        veil = np.zeros((height, width), np.uint8)
        for x, phase, speed, far in self._drops:
            fall = (phase + t_s * (1.2 + speed)) % 1.0
            length = height * (0.03 + 0.07 * (1 - far))
            at = (x * 1.1 * width - 0.06 * fall * width, (1.3 * fall - 0.15) * height)
            start = (round(at[0] * 16), round(at[1] * 16))
            end = (round((at[0] - 0.05 * length) * 16), round((at[1] + length) * 16))
            cv2.line(veil, start, end, int(40 + 70 * (1 - far)), 1, cv2.LINE_AA, 4)
        return light + (veil.astype(np.float32) / 255 * 0.45)[..., None] * (self.style.horizon - 0.5 * light + 0.2)
