"""Bad weather and a dirty lens over a clip: the families fog, frost, snow and spatter of Cityscapes-C.

Formulas and the constants of each severity are those of ImageNet-C (Hendrycks & Dietterich, ICLR 2019, arXiv
1903.12261; `hendrycks/robustness`) as Cityscapes-C (Michaelis et al. 2019, arXiv 1907.07484; `imagecorruptions`)
applies them to images of any size: sizes in them are pixels of the image as it is, at 224 pixels as at 2048. What
differs, so that a corruption belongs to a clip and not to a frame:

- everything random is drawn once per clip and image size, and the same pattern lies over all frames;
- what the published code takes from each image (the brightest pixel, for fog) is a constant;
- frost is drawn, not photographed.

The published package is not used: the fog of `imagecorruptions` 1.1.2 fails under NumPy 2, and its fork
`imagecorruptions-imaug` needs scikit-image, SciPy, Numba and a second OpenCV, and draws anew for every frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from t2g_ros.errors import InputError
from t2g_ros.evaluation.corruptions import fog, frost, snow, spatter

Image = NDArray[np.uint8]  # (H, W, 3) RGB

_LAYERS: dict[str, Callable[[int, tuple[int, int], np.random.Generator], Callable[[Image], Image]]] = {
    "fog": fog.layer,
    "frost": frost.layer,
    "snow": snow.layer,
    "spatter": spatter.layer,
}
FAMILIES = tuple(_LAYERS)
SEVERITIES = (1, 2, 3, 4, 5)


class Corruption:
    """Lays one corruption over the frames of a clip.

    The pattern depends on the family, the severity, the seed and the size of the image, and on nothing else, so a
    still scene stays still. It is made at the first frame, and again when the size changes.

    Args:
        family: one of `FAMILIES`.
        severity: 1, light, to 5.
        seed: another seed is another pattern of the same kind.

    Raises:
        ValueError: family, severity or seed are none of these.
    """

    def __init__(self, family: str, severity: int, seed: int = 0) -> None:
        if family not in FAMILIES:
            raise ValueError(f"corruption '{family}': expected one of {', '.join(FAMILIES)}")
        if severity not in SEVERITIES:
            raise ValueError(f"severity is {severity}, expected 1 to 5")
        if seed < 0:
            raise ValueError(f"seed is {seed}, expected 0 or more")
        self.family = family
        self.severity = severity
        self.seed = seed
        self._size: tuple[int, int] | None = None
        self._blend: Callable[[Image], Image] = np.copy

    def __call__(self, rgb: Image) -> Image:
        """Return the frame (H, W, 3) uint8 as seen through the corruption; the frame given stays as it is.

        Raises:
            InputError: the frame is of another shape or type.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise InputError(f"frame: found {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3) with H, W > 0")
        size = rgb.shape[0], rgb.shape[1]
        if size != self._size:
            self._blend = _LAYERS[self.family](self.severity, size, np.random.default_rng(self.seed))
            self._size = size
        return self._blend(np.ascontiguousarray(rgb))
