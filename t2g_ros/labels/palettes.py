"""Other colours for a label space than its own."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from t2g_ros.labels.spaces import LabelSpace

PALETTES = ("own", "cividis")
"""`own` are the label space's colours; `cividis` differ in lightness, for any colour vision and for print."""


def recolored(space: LabelSpace, palette: str) -> LabelSpace:
    """Return the label space in the colours of one of `PALETTES`.

    Raises:
        ValueError: there is no such palette.
    """
    if palette not in PALETTES:
        raise ValueError(f"palette '{palette}': expected one of {', '.join(PALETTES)}")
    if palette == "own":
        return space
    n = len(space)
    # In steps of about five eighths of the map, since classes with neighbouring ids are often neighbours in the image.
    step = next(k for k in range(n * 5 // 8 or 1, n + 2) if np.gcd(k, n) == 1)
    places = np.arange(n) * step % n * 255 // max(n - 1, 1)
    bgr = cv2.applyColorMap(places.astype(np.uint8)[:, None], cv2.COLORMAP_CIVIDIS)
    return replace(space, palette=np.asarray(bgr[:, 0, ::-1], np.uint8))
