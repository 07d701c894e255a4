"""Optical flow and flicker along it, on known motion and on the drive whose figure is known."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from t2g_ros.evaluation.metrics.flicker import compensated_flicker, flicker
from t2g_ros.flow import (
    DIS_WIDTH,
    METHODS,
    Flow,
    carry,
    dis_both,
    farneback,
    farneback_both,
)
from t2g_ros.labels import IGNORE

H, W = 120, 160
CAMVID = Path(__file__).parents[2] / "shared" / "data" / "camvid" / "val"


def world(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth texture twice the frame's size, and labels in smooth regions painted onto it."""
    rng = np.random.default_rng(seed)
    texture, regions = (cv2.GaussianBlur(rng.random((2 * H, 2 * W), np.float32), (0, 0), sigma) for sigma in (3, 10))
    texture = (texture - texture.min()) / (texture.max() - texture.min()) * 255
    labels = np.digitize(regions, np.quantile(regions, [0.3, 0.6])).astype(np.uint8)
    return np.repeat(texture.astype(np.uint8)[..., None], 3, axis=2), labels


def view(image: np.ndarray, motion: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """The (H, W) frame of a world seen through a 2x3 map from frame to world coordinates."""
    return cv2.warpAffine(image, motion, (W, H), flags=how | cv2.WARP_INVERSE_MAP)


def shift(x: float, y: float) -> np.ndarray:
    return np.float32([[1, 0, 60 + x], [0, 1, 50 + y]])


def steps(flow: Flow) -> np.ndarray:
    """(H, W, 2): the flow in pixels of the frame, whatever its own grid is."""
    height, width = flow.places.shape[:2]
    scale = width / flow.backward.shape[1], height / flow.backward.shape[0]
    return cv2.resize(flow.backward, (width, height)) * np.float32(scale)


def followed(flow: Flow) -> np.ndarray:
    """(H, W): whether a pixel has a place in the frame before."""
    return (flow.places >= 0).all(axis=-1)


TOLERANCE_PX = {"farneback": 0.05, "dis": 0.15}
EACH_METHOD = pytest.mark.parametrize("method", METHODS)


@EACH_METHOD
@pytest.mark.parametrize("step", [(0, 0), (3, 0), (-2, 5), (1.5, 0.5)])
def test_the_flow_of_a_shift_is_the_shift(step: tuple[float, float], method: str) -> None:
    texture, _ = world(0)
    flow, _ = METHODS[method].both(view(texture, shift(0, 0)), view(texture, shift(*step)))
    assert flow.places.shape == (H, W, 2)
    middle = np.s_[20:-20, 20:-20]
    np.testing.assert_allclose(steps(flow)[middle].mean(axis=(0, 1)), step, atol=TOLERANCE_PX[method])
    assert followed(flow)[middle].mean() > 0.99


@EACH_METHOD
@pytest.mark.parametrize("step", [0.8, 8])
def test_what_was_outside_is_not_followed(step: float, method: str) -> None:
    texture, _ = world(1)
    flow, _ = METHODS[method].both(view(texture, shift(0, 0)), view(texture, shift(step, 0)))
    assert not followed(flow)[:, -int(np.ceil(step)) :].any()
    assert followed(flow)[:, :-20].mean() > 0.95


@EACH_METHOD
@pytest.mark.parametrize("motion", [shift(4, 2), np.float32([[0.96, -0.03, 60], [0.03, 0.96, 50]])])
def test_labels_that_follow_the_scene_do_not_flicker(motion: np.ndarray, method: str) -> None:
    texture, labels = world(2)
    prev, cur = (view(labels, m, cv2.INTER_NEAREST) for m in (shift(0, 0), motion))
    flow, _ = METHODS[method].both(view(texture, shift(0, 0)), view(texture, motion))
    assert flicker(prev, cur) > 0.02
    assert compensated_flicker(prev, cur, flow) < 0.2 * flicker(prev, cur)


def test_a_real_change_stays_after_compensation() -> None:
    texture, labels = world(3)
    prev, cur = (view(labels, m, cv2.INTER_NEAREST) for m in (shift(0, 0), shift(4, 2)))
    flow = farneback(view(texture, shift(0, 0)), view(texture, shift(4, 2)))
    cur[40:80, 60:100] = 9
    assert compensated_flicker(prev, cur, flow) == pytest.approx(40 * 40 / flow.followed.sum(), rel=0.1)


def test_flow_both_ways_is_the_flow_of_either_way() -> None:
    texture, _ = world(4)
    prev, cur = view(texture, shift(0, 0)), view(texture, shift(3, -2))
    for both, one in zip(farneback_both(prev, cur), (farneback(prev, cur), farneback(cur, prev)), strict=True):
        np.testing.assert_array_equal(both.backward, one.backward)
        np.testing.assert_array_equal(both.followed, one.followed)


@EACH_METHOD
def test_the_second_flow_is_that_of_the_way_back(method: str) -> None:
    texture, _ = world(4)
    prev, cur = view(texture, shift(0, 0)), view(texture, shift(3, -2))
    there, back = METHODS[method].both(prev, cur)
    np.testing.assert_array_equal(back.backward, METHODS[method].both(cur, prev)[0].backward)
    np.testing.assert_array_equal(there.backward, METHODS[method].both(cur, prev)[1].backward)


def test_dis_on_a_wide_frame_gives_flow_in_the_frame_s_own_pixels() -> None:
    texture, _ = world(5)
    prev, cur = (
        cv2.resize(view(texture, shift(x, 0)), (3 * DIS_WIDTH, DIS_WIDTH), interpolation=cv2.INTER_CUBIC)
        for x in (0, 2)
    )
    flow, _ = dis_both(prev, cur)
    assert flow.places.shape == (DIS_WIDTH, 3 * DIS_WIDTH, 2)
    middle = np.s_[100:-100, 200:-200]
    np.testing.assert_allclose(np.median(steps(flow)[middle], axis=(0, 1)), (2 * 3 * DIS_WIDTH / W, 0), atol=1)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 5)])
def test_dis_takes_frames_of_any_size(size: tuple[int, int]) -> None:
    flow, _ = dis_both(np.zeros((*size, 3), np.uint8), np.zeros((*size, 3), np.uint8))
    assert flow.places.shape == (*size, 2)


def test_only_followed_and_labelled_pixels_count() -> None:
    labels = np.array([[0, 1, 2, 3, 255]], np.uint8)
    backward = np.zeros((1, 5, 2), np.float32)
    backward[0, :4, 0] = 1  # everything came from its right neighbour
    flow = Flow(backward, np.array([[True, True, True, True, False]]))
    np.testing.assert_array_equal(carry(labels, flow), [[1, 2, 3, 255, 255]])
    # 1 kept, 9 for 2, unlabelled now, unlabelled before, not followed.
    assert compensated_flicker(labels, np.array([[1, 9, 255, 3, 3]], np.uint8), flow) == 0.5
    nowhere = Flow(backward, np.zeros((1, 5), bool))
    assert math.isnan(compensated_flicker(labels, labels, nowhere))


@given(
    arrays(np.uint8, (2, 4, 6), elements=st.sampled_from([0, 1, 2, IGNORE])),
    arrays(np.int8, (4, 6, 2), elements=st.integers(-3, 3)),
    arrays(np.bool_, (4, 6)),
)
def test_compensated_flicker_equals_following_pixel_by_pixel(
    pair: np.ndarray, step: np.ndarray, followed: np.ndarray
) -> None:
    prev, cur = pair
    changed = []
    for y, x in np.argwhere(followed):
        from_x, from_y = x + int(step[y, x, 0]), y + int(step[y, x, 1])
        if 0 <= from_x < 6 and 0 <= from_y < 4:
            before, now = prev[from_y, from_x], cur[y, x]
            if IGNORE not in (before, now):
                changed.append(before != now)
    expected = np.mean(changed) if changed else np.nan
    found = compensated_flicker(prev, cur, Flow(step.astype(np.float32), followed))
    np.testing.assert_allclose(found, expected)


def test_a_flow_on_another_grid_has_that_grid_s_pixels() -> None:
    backward = np.zeros((2, 4, 2), np.float32)
    backward[:, :2] = 1, -0.5  # the left half came from the right and above
    flow = Flow(backward, np.array([[True, True, True, False]] * 2), size=(4, 8))
    where, followed = flow.at((8, 16))
    np.testing.assert_array_equal(followed, [[1] * 12 + [0] * 4] * 8)
    y, x = np.mgrid[:8, :16]
    np.testing.assert_allclose(where[:, :5], np.stack([x + 4, y - 2], axis=-1)[:, :5])
    np.testing.assert_allclose(where[:, 11:], np.stack([x, y], axis=-1)[:, 11:])
    own, _ = flow.at((2, 4))
    np.testing.assert_allclose(own[0, 0], (1, -0.5))


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one size"):
        farneback(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8))
    flow = Flow(np.zeros((8, 8, 2), np.float32), np.ones((8, 8), bool))
    with pytest.raises(ValueError, match="the size of the flow"):
        carry(np.zeros((4, 4), np.uint8), flow)


@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"the CamVid validation drive is not at {CAMVID}")
def test_ground_truth_of_a_real_drive_flickers_by_the_known_figures() -> None:
    paths = sorted((CAMVID / "images").iterdir())
    frames = [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in paths]
    labels = [cv2.imread(str(CAMVID / "labels" / f"{p.stem}.png"), cv2.IMREAD_UNCHANGED) for p in paths]
    raw, compensated = [], []
    for i in range(1, len(frames)):
        raw.append(flicker(labels[i - 1], labels[i]))
        compensated.append(compensated_flicker(labels[i - 1], labels[i], farneback(frames[i - 1], frames[i])))
    assert len(raw) == 100
    assert np.mean(raw) == pytest.approx(0.0497, abs=5e-5)
    assert np.mean(compensated) == pytest.approx(0.0275, abs=2e-4)
