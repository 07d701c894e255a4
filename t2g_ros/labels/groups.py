"""How a label space maps onto a coarser one.

`GROUPS[fine, coarse]` lists, for each coarse class, the fine classes that make it up. Nothing maps back: a coarse id
does not say which fine one it was.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from t2g_ros.labels.spaces import IGNORE, SPACES, LabelSpace, space

# (fine, coarse) -> coarse class -> the fine classes it is made of. A fine class named nowhere is ignored.
GROUPS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("cityscapes19", "dgvss15"): {
        "road": ("road",),
        "sidewalk": ("sidewalk",),
        "building": ("building",),
        "wall": ("wall",),
        "fence": ("fence",),
        "pole": ("pole",),
        "traffic light": ("traffic light",),
        "traffic sign": ("traffic sign",),
        "vegetation": ("vegetation",),
        "sky": ("sky",),
        "person": ("person",),
        "rider": ("rider",),
        "car": ("car",),
        "truck_bus": ("truck", "bus"),
        "motorcycle": ("motorcycle",),
    },
    ("cityscapes19", "camvid11"): {
        "sky": ("sky",),
        "building": ("building",),
        "pole": ("pole",),
        "road": ("road",),
        "pavement": ("sidewalk",),
        "tree": ("vegetation",),
        "sign": ("traffic light", "traffic sign"),
        "fence": ("wall", "fence"),
        "car": ("car",),
        "pedestrian": ("person",),
        "bicyclist": ("rider", "bicycle"),
    },
    # The usual grouping; spelled out in MathWorks' "Semantic Segmentation Using Deep Learning".
    ("camvid32", "camvid11"): {
        "sky": ("Sky",),
        "building": ("Archway", "Bridge", "Building", "Tunnel", "Wall"),
        "pole": ("Column_Pole", "TrafficCone"),
        "road": ("LaneMkgsDriv", "LaneMkgsNonDriv", "Road"),
        "pavement": ("ParkingBlock", "RoadShoulder", "Sidewalk"),
        "tree": ("Tree", "VegetationMisc"),
        "sign": ("Misc_Text", "SignSymbol", "TrafficLight"),
        "fence": ("Fence",),
        "car": ("Car", "OtherMoving", "SUVPickupTruck", "Train", "Truck_Bus"),
        "pedestrian": ("Animal", "CartLuggagePram", "Child", "Pedestrian"),
        "bicyclist": ("Bicyclist", "MotorcycleScooter"),
    },
    ("camvid32", "dgvss15"): {
        "road": ("LaneMkgsDriv", "Road"),
        "sidewalk": ("Sidewalk",),
        "building": ("Building",),
        "wall": ("Wall",),
        "fence": ("Fence",),
        "pole": ("Column_Pole",),
        "traffic light": ("TrafficLight",),
        "traffic sign": ("SignSymbol",),
        "vegetation": ("Tree", "VegetationMisc"),
        "sky": ("Sky",),
        "person": ("Child", "Pedestrian"),
        "rider": ("Bicyclist",),
        "car": ("Car", "SUVPickupTruck"),
        "truck_bus": ("Truck_Bus",),
        "motorcycle": ("MotorcycleScooter",),
    },
}

# What a coarse label covers besides the classes that are judged as it: CamVid-11's cars are all vehicles (`camvid32` to
# `camvid11` above), which the protocol of evaluation leaves out. A network must not learn that they are none.
ALSO_COVERED: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("cityscapes19", "camvid11"): {"car": ("truck", "bus", "train"), "bicyclist": ("motorcycle",)},
}


def group_matrix(fine: LabelSpace, coarse: LabelSpace) -> NDArray[np.float32]:
    """Return (len(coarse), len(fine)) float32 of 0 and 1: row c marks the fine classes that make up class c.

    `group_matrix(fine, coarse) @ p` turns fine class probabilities into coarse ones. A space maps onto
    itself.

    Raises:
        ValueError: no mapping from `fine` to `coarse` is known.
    """
    if fine.name == coarse.name:
        return np.eye(len(fine), dtype=np.float32)
    groups = GROUPS.get((fine.name, coarse.name))
    if groups is None:
        known = ", ".join(f"{src} to {dst}" for src, dst in GROUPS)
        raise ValueError(f"no mapping from label space '{fine.name}' to '{coarse.name}'; known: {known}")
    matrix = np.zeros((len(coarse), len(fine)), np.float32)
    _mark(matrix, groups, fine, coarse)
    return matrix


def supervision_matrix(fine: LabelSpace, coarse: LabelSpace) -> NDArray[np.float32]:
    """As `group_matrix`, but row c marks all fine classes that label c may stand for, judged as it or not.

    Raises:
        ValueError: no mapping from `fine` to `coarse` is known.
    """
    matrix = group_matrix(fine, coarse)
    _mark(matrix, ALSO_COVERED.get((fine.name, coarse.name), {}), fine, coarse)
    return matrix


def _mark(matrix: NDArray, groups: dict[str, tuple[str, ...]], fine: LabelSpace, coarse: LabelSpace) -> None:
    for coarse_name, fine_names in groups.items():
        for fine_name in fine_names:
            matrix[coarse.id_of(coarse_name), fine.id_of(fine_name)] = 1


def remap_table(src: LabelSpace, dst: LabelSpace) -> NDArray[np.uint8]:
    """Return a (256,) uint8 table, `table[ids of src] = ids of dst`; 255 where `dst` has no counterpart.

    Raises:
        ValueError: no mapping from `src` to `dst` is known.
    """
    matrix = group_matrix(src, dst)
    table = np.full(256, IGNORE, np.uint8)
    table[: len(src)] = np.where(matrix.any(axis=0), matrix.argmax(axis=0), IGNORE)
    return table


def common_space(spaces: Iterable[LabelSpace], asked: str | None = None) -> LabelSpace:
    """Return the finest label space onto which all of these map; of several the one with the most classes.

    Args:
        spaces: at least one.
        asked: name of the space to take instead.

    Raises:
        ValueError: not all of them map onto the one asked for, or there is none.
    """
    spaces = list({s.name: s for s in spaces}.values())
    candidates = [space(asked)] if asked is not None else sorted(SPACES.values(), key=len, reverse=True)
    for candidate in candidates:
        if all(s.name == candidate.name or (s.name, candidate.name) in GROUPS for s in spaces):
            return candidate
    names = " and ".join(s.name for s in spaces)
    goal = "no label space is known" if asked is None else f"'{asked}' is not one"
    raise ValueError(f"{names}: {goal} onto which they map")
