"""What the ids and colours in data sets' own label files mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from t2g_ros.labels.spaces import CAMVID11, CAMVID32, CITYSCAPES19, DGVSS15, IGNORE, LabelSpace


@dataclass(frozen=True, eq=False)
class RawIds:
    """The ids that a data set's label files hold, and the class of `space` that each stands for."""

    space: LabelSpace
    classes: dict[int, str]
    """Raw id -> class name; 255 is always void."""
    void: tuple[int, ...] = ()
    """Ids that the data set defines and `space` has no class for."""
    _table: NDArray[np.int16] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = np.full(256, -1, np.int16)
        table[[*self.void, IGNORE]] = IGNORE
        for raw, name in self.classes.items():
            table[raw] = self.space.id_of(name)
        object.__setattr__(self, "_table", table)

    def to_space(self, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the (H, W) uint8 ids of `space` for (H, W) uint8 raw ids.

        Raises:
            ValueError: a raw id that the data set does not define; the message lists all of them.
        """
        mapped = self._table[raw]
        if (mapped < 0).any():
            raise ValueError(f"id(s) {np.unique(raw[mapped < 0]).tolist()} are not defined by the data set")
        return mapped.astype(np.uint8)


def _raw_ids(space: LabelSpace, classes: dict[int, str], known: Iterable[int]) -> RawIds:
    return RawIds(space, classes, tuple(raw for raw in known if raw not in classes))


# labels.py of cityscapesScripts, and that of kitti360Scripts, which adds to it.
_CITYSCAPES = dict(
    zip((7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33), CITYSCAPES19.names, strict=True)
)
_KITTI360 = {**_CITYSCAPES, 34: "building", 35: "fence", 37: "pole"}  # garage, gate, small pole

# The class table of ApolloScape's scene parsing; an id 128 higher is a group of the same things.
_APOLLO = {
    49: "road",
    50: "sidewalk",
    97: "building",
    84: "wall",
    67: "fence",
    82: "pole",
    81: "traffic light",
    83: "traffic sign",
    113: "vegetation",
    17: "sky",
    36: "person",
    37: "rider",
    33: "car",
    38: "truck_bus",
    39: "truck_bus",
    34: "motorcycle",
    **{164: "person", 165: "rider", 161: "car", 166: "truck_bus", 167: "truck_bus", 162: "motorcycle"},
}
# Others, own car, bicycles, tricycles, cones, piles, bins, billboards, bridges, tunnels, overpasses.
_APOLLO_VOID = (0, 1, 35, 163, 40, 168, 65, 66, 85, 86, 98, 99, 100)

RAW_IDS: dict[str, RawIds] = {
    "cityscapes_ids": _raw_ids(CITYSCAPES19, _CITYSCAPES, range(34)),
    "cityscapes_train_ids": RawIds(CITYSCAPES19, dict(enumerate(CITYSCAPES19.names))),
    "kitti360_ids": _raw_ids(CITYSCAPES19, _KITTI360, range(45)),
    "apolloscape_ids": RawIds(DGVSS15, _APOLLO, _APOLLO_VOID),
    "camvid11_ids": RawIds(CAMVID11, dict(enumerate(CAMVID11.names)), (11,)),
}


def camvid32_from_colors(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (H, W) uint8 ids of CAMVID32 for (H, W, 3) uint8 colours, its class Void as 255.

    Raises:
        ValueError: a colour that is not in the palette.
    """
    codes = _color_codes(rgb)
    palette = _color_codes(CAMVID32.palette)
    order = np.argsort(palette).astype(np.uint8)
    place = np.searchsorted(palette[order], codes).clip(max=len(order) - 1)
    labels = order[place]
    wrong = palette[labels] != codes
    if wrong.any():
        raise ValueError(f"RGB {rgb[wrong][0].tolist()} is not a colour of {CAMVID32.name}")
    labels[labels == CAMVID32.id_of("Void")] = IGNORE
    return labels


def _color_codes(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    return np.asarray(rgb.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32), np.int32)
