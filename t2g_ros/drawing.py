"""Pictures of a segmentation for people: the overlay on the camera image, and the legend that explains it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.labels import IGNORE, LabelSpace

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE = 0.4
_ROW_PX = 18


def overlay(
    rgb: NDArray[np.uint8], labels: NDArray[np.uint8], space: LabelSpace, alpha: float = 0.5
) -> NDArray[np.uint8]:
    """Return the (H, W, 3) uint8 RGB image tinted with the class colours.

    Pixels labelled 255 stay as the camera saw them. Labels of another size (the model's own grid) are
    brought to the image's by nearest neighbour.

    Raises:
        ValueError: `alpha` is outside 0 (image only) to 1 (colours only).
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"overlay: alpha is {alpha}, expected 0 to 1")
    height, width = rgb.shape[:2]
    if labels.shape != (height, width):
        labels = np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    out = cv2.addWeighted(rgb, 1 - alpha, space.colorize(labels), alpha, 0)
    cv2.copyTo(rgb, cv2.inRange(labels, IGNORE, IGNORE), out)
    return np.asarray(out, np.uint8)


def legend(space: LabelSpace, width: int) -> NDArray[np.uint8]:
    """Return a (h, width, 3) uint8 RGB strip of swatches and class names, in as many rows as they need."""
    cells = [2 * _ROW_PX + cv2.getTextSize(name, _FONT, _SCALE, 1)[0][0] for name in space.names]
    places: list[tuple[int, int]] = []
    x = y = 0
    for cell in cells:
        if x and x + cell > width:
            x, y = 0, y + _ROW_PX
        places.append((x, y))
        x += cell
    strip = np.zeros((y + _ROW_PX, width, 3), np.uint8)
    for name, color, (x, y) in zip(space.names, space.palette.tolist(), places, strict=True):
        strip[y + 3 : y + _ROW_PX - 3, x + 3 : x + _ROW_PX - 3] = color
        cv2.putText(strip, name, (x + _ROW_PX, y + 13), _FONT, _SCALE, (255, 255, 255), 1, cv2.LINE_AA)
    return strip
