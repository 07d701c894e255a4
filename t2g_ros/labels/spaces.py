"""Label spaces: names, ids and colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

IGNORE = 255


@dataclass(frozen=True, eq=False)
class LabelSpace:
    """The classes a mask may hold; the class id is the position in `names`."""

    name: str
    names: tuple[str, ...]
    palette: NDArray[np.uint8]
    """(n, 3) uint8 RGB."""
    _lut: NDArray[np.uint8] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that names and colours agree, and freeze the colours.

        Raises:
            ValueError: the palette is not (n, 3), a name is double, or there are more than 255 classes.
        """
        palette = np.array(self.palette, dtype=np.uint8)
        n = len(self.names)
        if palette.shape != (n, 3):
            raise ValueError(f"label space '{self.name}': palette {palette.shape}, expected ({n}, 3)")
        if len(set(self.names)) != n or not 0 < n <= IGNORE:
            raise ValueError(f"label space '{self.name}': expected 1 to {IGNORE} distinct names, found {self.names}")
        lut = np.zeros((256, 1, 3), np.uint8)
        lut[:n, 0] = palette
        palette.setflags(write=False)
        object.__setattr__(self, "palette", palette)
        object.__setattr__(self, "_lut", lut)

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, class_name: str) -> int:
        """Return the id of a class; raises ValueError that lists the names if there is no such class."""
        try:
            return self.names.index(class_name)
        except ValueError:
            raise ValueError(
                f"label space '{self.name}' has no class '{class_name}'; it has {', '.join(self.names)}"
            ) from None

    def colorize(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB for (H, W) uint8 ids; 255 and ids beyond the last class are black."""
        # Twenty times faster than indexing the table.
        return np.asarray(cv2.applyColorMap(labels, self._lut), np.uint8)

    def to_json(self) -> dict[str, Any]:
        """Return the space as plain values: name, classes with id, name and colour, and the ignored id."""
        classes = [
            {"id": i, "name": name, "color": color}
            for i, (name, color) in enumerate(zip(self.names, self.palette.tolist(), strict=True))
        ]
        return {"name": self.name, "classes": classes, "ignore": IGNORE}


def _space(name: str, colors: dict[str, tuple[int, int, int]]) -> LabelSpace:
    return LabelSpace(name, tuple(colors), np.array(list(colors.values()), np.uint8))


# Names, order (trainIds) and colours of cityscapesScripts' labels.py.
CITYSCAPES19 = _space(
    "cityscapes19",
    {
        "road": (128, 64, 128),
        "sidewalk": (244, 35, 232),
        "building": (70, 70, 70),
        "wall": (102, 102, 156),
        "fence": (190, 153, 153),
        "pole": (153, 153, 153),
        "traffic light": (250, 170, 30),
        "traffic sign": (220, 220, 0),
        "vegetation": (107, 142, 35),
        "terrain": (152, 251, 152),
        "sky": (70, 130, 180),
        "person": (220, 20, 60),
        "rider": (255, 0, 0),
        "car": (0, 0, 142),
        "truck": (0, 0, 70),
        "bus": (0, 60, 100),
        "train": (0, 80, 100),
        "motorcycle": (0, 0, 230),
        "bicycle": (119, 11, 32),
    },
)

# The 15 classes of domain-generalised video segmentation, in Cityscapes' colours.
DGVSS15 = _space(
    "dgvss15",
    {
        "road": (128, 64, 128),
        "sidewalk": (244, 35, 232),
        "building": (70, 70, 70),
        "wall": (102, 102, 156),
        "fence": (190, 153, 153),
        "pole": (153, 153, 153),
        "traffic light": (250, 170, 30),
        "traffic sign": (220, 220, 0),
        "vegetation": (107, 142, 35),
        "sky": (70, 130, 180),
        "person": (220, 20, 60),
        "rider": (255, 0, 0),
        "car": (0, 0, 142),
        "truck_bus": (0, 0, 70),
        "motorcycle": (0, 0, 230),
    },
)

# Order of the common 360x480 release, colours of the original 32 classes.
CAMVID11 = _space(
    "camvid11",
    {
        "sky": (128, 128, 128),
        "building": (128, 0, 0),
        "pole": (192, 192, 128),
        "road": (128, 64, 128),
        "pavement": (0, 0, 192),
        "tree": (128, 128, 0),
        "sign": (192, 128, 128),
        "fence": (64, 64, 128),
        "car": (64, 0, 128),
        "pedestrian": (64, 64, 0),
        "bicyclist": (0, 128, 192),
    },
)

# Order and colours of CamVid's label_colors.txt.
CAMVID32 = _space(
    "camvid32",
    {
        "Animal": (64, 128, 64),
        "Archway": (192, 0, 128),
        "Bicyclist": (0, 128, 192),
        "Bridge": (0, 128, 64),
        "Building": (128, 0, 0),
        "Car": (64, 0, 128),
        "CartLuggagePram": (64, 0, 192),
        "Child": (192, 128, 64),
        "Column_Pole": (192, 192, 128),
        "Fence": (64, 64, 128),
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
        "Misc_Text": (128, 128, 64),
        "MotorcycleScooter": (192, 0, 192),
        "OtherMoving": (128, 64, 64),
        "ParkingBlock": (64, 192, 128),
        "Pedestrian": (64, 64, 0),
        "Road": (128, 64, 128),
        "RoadShoulder": (128, 128, 192),
        "Sidewalk": (0, 0, 192),
        "SignSymbol": (192, 128, 128),
        "Sky": (128, 128, 128),
        "SUVPickupTruck": (64, 128, 192),
        "TrafficCone": (0, 0, 64),
        "TrafficLight": (0, 64, 64),
        "Train": (192, 64, 128),
        "Tree": (128, 128, 0),
        "Truck_Bus": (192, 128, 192),
        "Tunnel": (64, 0, 64),
        "VegetationMisc": (192, 192, 0),
        "Void": (0, 0, 0),
        "Wall": (64, 192, 0),
    },
)

SPACES: dict[str, LabelSpace] = {s.name: s for s in (CITYSCAPES19, DGVSS15, CAMVID11, CAMVID32)}


def space(name: str) -> LabelSpace:
    """Return the label space of that name.

    Raises:
        ValueError: there is none; the message lists the known ones.
    """
    try:
        return SPACES[name]
    except KeyError:
        raise ValueError(f"unknown label space '{name}'; known: {', '.join(SPACES)}") from None
