"""Label spaces and the mappings between them."""

import json

import numpy as np
import pytest

from t2g_ros.labels import (
    CAMVID11,
    CAMVID32,
    CITYSCAPES19,
    DGVSS15,
    GROUPS,
    IGNORE,
    SPACES,
    LabelSpace,
    group_matrix,
    remap_table,
    space,
)

CITYSCAPES_TO_CAMVID11 = [3, 4, 1, 7, 7, 2, 6, 6, 5, IGNORE, 0, 9, 10, 8, IGNORE, IGNORE, IGNORE, IGNORE, 10]
CITYSCAPES_TO_DGVSS15 = [0, 1, 2, 3, 4, 5, 6, 7, 8, IGNORE, 9, 10, 11, 12, 13, 13, IGNORE, 14, IGNORE]


def test_sizes_and_distinct_colours() -> None:
    assert {name: len(s) for name, s in SPACES.items()} == {
        "cityscapes19": 19,
        "dgvss15": 15,
        "camvid11": 11,
        "camvid32": 32,
    }
    for s in SPACES.values():
        assert s.palette.shape == (len(s), 3)
        assert s.palette.dtype == np.uint8
        assert len(np.unique(s.palette, axis=0)) == len(s)


@pytest.mark.parametrize(("dst", "expected"), [(CAMVID11, CITYSCAPES_TO_CAMVID11), (DGVSS15, CITYSCAPES_TO_DGVSS15)])
def test_cityscapes_remaps_are_the_protocol_s(dst: LabelSpace, expected: list[int]) -> None:
    table = remap_table(CITYSCAPES19, dst)
    assert table.dtype == np.uint8
    assert table[:19].tolist() == expected
    assert (table[19:] == IGNORE).all()


@pytest.mark.parametrize(
    ("name", "coarse", "expected"),
    [
        ("LaneMkgsDriv", CAMVID11, "road"),
        ("SUVPickupTruck", CAMVID11, "car"),
        ("VegetationMisc", DGVSS15, "vegetation"),
        ("Truck_Bus", DGVSS15, "truck_bus"),
        ("Child", DGVSS15, "person"),
    ],
)
def test_camvid32_maps_by_name(name: str, coarse: LabelSpace, expected: str) -> None:
    assert remap_table(CAMVID32, coarse)[CAMVID32.id_of(name)] == coarse.id_of(expected)


@pytest.mark.parametrize("coarse", [CAMVID11, DGVSS15])
def test_void_has_no_counterpart(coarse: LabelSpace) -> None:
    assert remap_table(CAMVID32, coarse)[CAMVID32.id_of("Void")] == IGNORE


@pytest.mark.parametrize("pair", list(GROUPS))
def test_every_coarse_class_is_made_of_fine_ones_that_belong_to_it_alone(pair: tuple[str, str]) -> None:
    matrix = group_matrix(space(pair[0]), space(pair[1]))
    assert matrix.shape == (len(space(pair[1])), len(space(pair[0])))
    assert (matrix.sum(axis=1) >= 1).all()
    assert (matrix.sum(axis=0) <= 1).all()


def test_group_matrix_sums_fine_probabilities() -> None:
    probabilities = np.zeros(19, np.float32)
    probabilities[[6, 7, 9]] = 0.25, 0.5, 0.25
    coarse = group_matrix(CITYSCAPES19, CAMVID11) @ probabilities
    assert coarse[CAMVID11.id_of("sign")] == pytest.approx(0.75)
    assert coarse.sum() == pytest.approx(0.75)


def test_a_space_maps_onto_itself() -> None:
    table = remap_table(CAMVID11, CAMVID11)
    assert table[:11].tolist() == list(range(11))
    assert (table[11:] == IGNORE).all()


def test_coarse_to_fine_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'camvid11' to 'cityscapes19'"):
        remap_table(CAMVID11, CITYSCAPES19)
    with pytest.raises(ValueError, match=r"'dgvss15' to 'camvid32'"):
        group_matrix(DGVSS15, CAMVID32)


def test_unknown_space_lists_the_known_ones() -> None:
    assert space("camvid11") is CAMVID11
    with pytest.raises(ValueError, match=r"'ade20k'.*cityscapes19, dgvss15, camvid11, camvid32"):
        space("ade20k")


def test_colorize_gives_each_class_its_colour_and_black_for_the_rest() -> None:
    labels = np.array([[0, 18], [19, IGNORE]], np.uint8)
    assert CITYSCAPES19.colorize(labels).tolist() == [
        [[128, 64, 128], [119, 11, 32]],
        [[0, 0, 0], [0, 0, 0]],
    ]


def test_to_json_survives_json() -> None:
    value = json.loads(json.dumps(CAMVID11.to_json()))
    assert value["name"] == "camvid11"
    assert value["ignore"] == IGNORE
    assert value["classes"][8] == {"id": 8, "name": "car", "color": [64, 0, 128]}
    assert [c["id"] for c in value["classes"]] == list(range(11))


def test_inconsistent_space_is_refused() -> None:
    with pytest.raises(ValueError, match=r"palette \(1, 3\), expected \(2, 3\)"):
        LabelSpace("broken", ("a", "b"), np.zeros((1, 3), np.uint8))
    with pytest.raises(ValueError, match="distinct"):
        LabelSpace("broken", ("a", "a"), np.zeros((2, 3), np.uint8))
