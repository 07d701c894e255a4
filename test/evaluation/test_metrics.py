"""IoU and flicker, by hand and against a brute-force twin."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.evaluation.metrics.flicker import flicker

N = 3
labels = st.sampled_from([0, 1, 2, 255])
predictions = st.sampled_from([0, 1, 2, 3, 200, 255])


def grid(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, np.uint8)


def test_iou_by_hand() -> None:
    confusion = ConfusionMatrix(3)
    truth = grid([[0, 0, 0, 1], [1, 1, 255, 255]])
    pred = grid([[0, 0, 1, 1], [2, 9, 0, 255]])
    confusion.update(pred, truth)
    np.testing.assert_array_equal(confusion.matrix, [[2, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]])
    # 0: 2 of 3 true pixels; 1: 1 of 3 true and 1 wrongly claimed; 2: in no truth, though predicted once.
    np.testing.assert_allclose(confusion.iou(), [2 / 3, 1 / 4, np.nan])
    assert confusion.miou() == pytest.approx((2 / 3 + 1 / 4) / 2)


def test_images_of_any_size_add_up() -> None:
    confusion = ConfusionMatrix(2)
    confusion.update(grid([[0, 1]]), grid([[0, 0]]))
    confusion.update(grid([[1], [1], [1]]), grid([[1], [1], [0]]))
    np.testing.assert_allclose(confusion.iou(), [1 / 3, 2 / 4])


def test_without_truth_there_is_no_figure() -> None:
    confusion = ConfusionMatrix(2)
    assert math.isnan(confusion.miou())
    confusion.update(grid([[0, 1]]), grid([[255, 255]]))
    assert np.isnan(confusion.iou()).all()
    assert math.isnan(confusion.miou())


@given(
    st.lists(
        st.integers(1, 30).flatmap(
            lambda n: st.tuples(arrays(np.uint8, n, elements=predictions), arrays(np.uint8, n, elements=labels))
        ),
        max_size=3,
    )
)
def test_iou_equals_counting_pixel_by_pixel(images: list[tuple[np.ndarray, np.ndarray]]) -> None:
    confusion = ConfusionMatrix(N)
    for pred, truth in images:
        confusion.update(pred, truth)
    pixels = [(p, t) for pred, truth in images for p, t in zip(pred.tolist(), truth.tolist(), strict=True) if t != 255]
    expected = []
    for c in range(N):
        if all(t != c for _, t in pixels):
            expected.append(math.nan)
            continue
        expected.append(sum(p == t == c for p, t in pixels) / sum(c in (p, t) for p, t in pixels))
    np.testing.assert_allclose(confusion.iou(), expected)
    assert confusion.matrix.sum() == len(pixels)


def test_labels_that_do_not_fit_are_refused() -> None:
    confusion = ConfusionMatrix(2)
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(2, 1\)"):
        confusion.update(grid([[0, 0]]), grid([[0], [0]]))
    with pytest.raises(ValueError, match="int64"):
        confusion.update(np.zeros((1, 2), np.int64), grid([[0, 0]]))
    with pytest.raises(ValueError, match=r"\[2, 254\], expected 0 to 1 or 255"):
        confusion.update(grid([[0, 0, 0]]), grid([[2, 254, 255]]))
    assert confusion.matrix.sum() == 0
    with pytest.raises(ValueError, match="256 classes"):
        ConfusionMatrix(256)


def test_flicker_by_hand() -> None:
    prev = grid([[0, 1, 2, 255, 5]])
    assert flicker(prev, prev) == 0
    assert flicker(prev, grid([[0, 1, 1, 3, 255]])) == pytest.approx(1 / 3)
    assert flicker(prev, grid([[1, 2, 3, 4, 6]])) == 1
    assert math.isnan(flicker(grid([[255, 0]]), grid([[0, 255]])))
    with pytest.raises(ValueError, match="expected one shape"):
        flicker(prev, prev.T)


@given(arrays(np.uint8, (2, 20), elements=labels))
def test_flicker_equals_counting_pixel_by_pixel(pair: np.ndarray) -> None:
    both = [(a, b) for a, b in zip(*pair.tolist(), strict=True) if 255 not in (a, b)]
    expected = sum(a != b for a, b in both) / len(both) if both else math.nan
    np.testing.assert_allclose(flicker(pair[0], pair[1]), expected)
