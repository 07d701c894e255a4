"""Label spaces and the mappings between them."""

import json

import cv2
import numpy as np
import pytest

from t2g_ros.labels import (
    CAMVID11,
    CAMVID32,
    CITYSCAPES19,
    DGVSS15,
    GROUPS,
    IGNORE,
    RAW_IDS,
    SPACES,
    LabelSpace,
    camvid32_from_colors,
    common_space,
    group_matrix,
    remap_table,
    space,
    supervision_matrix,
)
from t2g_ros.labels.palettes import recolored

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


@pytest.mark.parametrize("own", SPACES.values(), ids=SPACES)
def test_cividis_tells_every_class_by_its_lightness(own: LabelSpace) -> None:
    other = recolored(own, "cividis")
    assert (other.name, other.names) == (own.name, own.names)
    lightness = cv2.cvtColor(other.palette[None], cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert np.diff(np.sort(lightness)).min() >= 4
    # Neighbouring ids are often neighbours in the image, such as road and sidewalk.
    assert np.abs(np.diff(lightness)).min() > 50
    np.testing.assert_array_equal(other.colorize(np.uint8([[0, 255]]))[0], [other.palette[0], [0, 0, 0]])


def test_the_own_palette_is_the_spaces_and_others_are_refused() -> None:
    assert recolored(CITYSCAPES19, "own") is CITYSCAPES19
    with pytest.raises(ValueError, match="palette 'pink': expected one of own, cividis"):
        recolored(CITYSCAPES19, "pink")


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


def test_camvid_s_cars_teach_any_vehicle_and_are_judged_as_cars() -> None:
    taught, judged = supervision_matrix(CITYSCAPES19, CAMVID11), group_matrix(CITYSCAPES19, CAMVID11)
    car, bicyclist = CAMVID11.id_of("car"), CAMVID11.id_of("bicyclist")
    more = {(int(c), CITYSCAPES19.names[k]) for c, k in np.argwhere(taught > judged)}
    assert more == {(car, "truck"), (car, "bus"), (car, "train"), (bicyclist, "motorcycle")}
    assert (taught >= judged).all()
    np.testing.assert_array_equal(supervision_matrix(CITYSCAPES19, CITYSCAPES19), np.eye(19))


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


PROTOCOL_IDS = {
    "cityscapes_ids": [{7}, {8}, {11}, {12}, {13}, {17}, {19}, {20}, {21}, {23}, {24}, {25}, {26}, {27, 28}, {32}],
    "kitti360_ids": [
        *({7}, {8}, {11, 34}, {12}, {13, 35}, {17, 37}, {19}, {20}, {21}, {23}, {24}, {25}, {26}, {27, 28}, {32})
    ],
    "apolloscape_ids": [
        *({49}, {50}, {97}, {84}, {67}, {82}, {81}, {83}, {113}, {17}),
        *({36, 164}, {37, 165}, {33, 161}, {38, 166, 39, 167}, {34, 162}),
    ],
}


@pytest.mark.parametrize("name", list(PROTOCOL_IDS))
def test_raw_ids_are_the_protocol_s_15_classes(name: str) -> None:
    raw_ids = RAW_IDS[name]
    known = np.array([*raw_ids.classes, *raw_ids.void, IGNORE], np.uint8)
    classes = remap_table(raw_ids.space, DGVSS15)[raw_ids.to_space(known)]
    assert [set(known[classes == i].tolist()) for i in range(15)] == PROTOCOL_IDS[name]


def test_cityscapes_ids_become_the_19_train_ids() -> None:
    ids = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33], np.uint8)
    assert RAW_IDS["cityscapes_ids"].to_space(ids).tolist() == list(range(19))
    rest = np.setdiff1d(np.arange(34, dtype=np.uint8), ids)
    assert set(RAW_IDS["cityscapes_ids"].to_space(rest).tolist()) == {IGNORE}


def test_undefined_raw_ids_are_all_listed() -> None:
    with pytest.raises(ValueError, match=r"\[34, 200\]"):
        RAW_IDS["cityscapes_ids"].to_space(np.array([[7, 200], [34, 255]], np.uint8))


def test_camvid32_colours_are_the_inverse_of_its_palette() -> None:
    ids = np.arange(32, dtype=np.uint8)[None]
    expected = np.where(ids == CAMVID32.id_of("Void"), IGNORE, ids)
    np.testing.assert_array_equal(camvid32_from_colors(CAMVID32.colorize(ids)), expected)
    for color in ((0, 0, 1), (255, 255, 255)):
        with pytest.raises(ValueError, match="is not a colour of camvid32"):
            camvid32_from_colors(np.array([[color]], np.uint8))


@pytest.mark.parametrize(
    ("spaces", "expected"),
    [
        ([CITYSCAPES19], CITYSCAPES19),
        ([CITYSCAPES19, CAMVID11], CAMVID11),
        ([CITYSCAPES19, CAMVID32], DGVSS15),
        ([CAMVID32, CAMVID11], CAMVID11),
        ([CITYSCAPES19, CITYSCAPES19, DGVSS15], DGVSS15),
        ([CITYSCAPES19, CAMVID32, CAMVID11], CAMVID11),
    ],
)
def test_spaces_meet_in_the_finest_that_they_share(spaces: list[LabelSpace], expected: LabelSpace) -> None:
    assert common_space(spaces) is expected
    assert common_space(spaces[::-1]) is expected


def test_the_common_space_can_be_chosen_where_all_map_to_it() -> None:
    assert common_space([CITYSCAPES19], "camvid11") is CAMVID11
    with pytest.raises(ValueError, match="cityscapes19 and camvid11: 'dgvss15' is not one"):
        common_space([CITYSCAPES19, CAMVID11], "dgvss15")
    with pytest.raises(ValueError, match="no label space is known"):
        common_space([CAMVID11, DGVSS15])
    with pytest.raises(ValueError, match="unknown label space 'x'"):
        common_space([CAMVID11], "x")
