"""The camera_info that goes with a mask: the camera's own, scaled if the mask has another size."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header


class Calibration:
    """What a camera has told of itself, until another driver takes its place."""

    def __init__(self) -> None:
        self.info: CameraInfo | None = None
        """The newest that is of use, None if there is none or the last was of none."""
        self._bad: str | None = None

    def take(self, info: CameraInfo) -> None:
        """Take what the camera tells."""
        self._bad = problem_with(info)
        self.info = None if self._bad else info

    def forget(self) -> None:
        """Take nothing for told any more."""
        self.info = self._bad = None

    def problem(self, image_size: tuple[int, int] | None) -> str | None:
        """Why masks of images of (height, width), if that is known, go without a calibration that was told."""
        info = self.info
        if info is None or image_size is None or fits(info, image_size):
            return self._bad
        return (
            f"found a calibration of {info.width}x{info.height}, expected the images' {image_size[1]}x{image_size[0]}, "
            "or the binning or region of interest that make it so"
        )


def fits(info: CameraInfo, image_size: tuple[int, int]) -> bool:
    """Whether a calibration can be of an image of (height, width): not the one from before the camera changed its size.

    Sizes of 0 say nothing; binning and a region of interest make the image smaller than the calibration.
    """
    if not (info.height and info.width):
        return True
    sizes = ((info.height, info.width), (info.roi.height, info.roi.width))
    return image_size in [(h // max(info.binning_y, 1), w // max(info.binning_x, 1)) for h, w in sizes]


def problem_with(info: CameraInfo) -> str | None:
    """Say what makes a calibration useless whatever the image; None if nothing does."""
    for key in "dkrp":
        values = np.asarray(getattr(info, key), np.float64)
        if not np.isfinite(values).all():
            return f"found {key} = {values.tolist()}, expected finite numbers"
    return None


def scaled(info: CameraInfo, image_size: tuple[int, int], mask_size: tuple[int, int], header: Header) -> CameraInfo:
    """Return the calibration of a mask of `mask_size` made from an image of `image_size`, both (height, width).

    fx, cx and their row of P scale by the width ratio, fy and cy by the height ratio, width, height and the ROI
    with them; distortion and rotation hold at any size. The rule is that of image_proc's ResizeNode.
    """
    out = deepcopy(info)
    out.header = header
    sy, sx = mask_size[0] / image_size[0], mask_size[1] / image_size[1]
    if (sx, sy) == (1.0, 1.0):
        return out
    out.width, out.height = _uint32(info.width * sx), _uint32(info.height * sy)
    # K is 3x3 and P is 3x4, row-major: row 0 is about x, row 1 about y.
    out.k[:3], out.k[3:6] = info.k[:3] * sx, info.k[3:6] * sy
    out.p[:4], out.p[4:8] = info.p[:4] * sx, info.p[4:8] * sy
    roi = out.roi
    roi.x_offset, roi.width = _uint32(info.roi.x_offset * sx), _uint32(info.roi.width * sx)
    roi.y_offset, roi.height = _uint32(info.roi.y_offset * sy), _uint32(info.roi.height * sy)
    return out


def _uint32(value: float) -> int:
    """What the message's fields can hold: a calibration may say anything."""
    return min(round(value), 2**32 - 1)
