"""ECE and its table: by hand, against a brute-force twin in fractions, and on real labels."""

import math
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from t2g_ros.evaluation.metrics.calibration import BINS, Calibration

CAMVID = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "val"
labels = st.sampled_from([0, 1, 255])
# The edges of the bins are the multiples of 17.
confidences = st.one_of(st.integers(0, 255), st.integers(0, 15).map(lambda m: 17 * m))


def grid(*values: int) -> np.ndarray:
    return np.array([values], np.uint8)


def test_ece_by_hand() -> None:
    calibration = Calibration()
    # Three pixels at 0.6, two of them right; two certain, one right; the last two are left out.
    calibration.update(grid(0, 0, 0, 1, 1, 255, 1), grid(153, 153, 153, 255, 255, 10, 20), grid(0, 0, 1, 1, 0, 0, 255))
    assert calibration.ece() == pytest.approx((3 * abs(2 / 3 - 0.6) + 2 * abs(1 / 2 - 1)) / 5)
    table = calibration.table()
    assert len(table) == BINS == 15
    assert (table[0].above, table[-1].up_to) == (0, 1)
    filled = [(i, b.pixels) for i, b in enumerate(table) if b.pixels]
    assert filled == [(8, 3), (14, 2)]  # 0.6 is the upper edge of the ninth bin
    assert (table[8].confidence, table[8].accuracy) == (pytest.approx(0.6), pytest.approx(2 / 3))
    assert math.isnan(table[0].confidence)
    assert math.isnan(table[0].accuracy)


def test_confidence_that_is_the_accuracy_has_no_error() -> None:
    calibration = Calibration()
    for confidence, right in ((51, 1), (204, 4), (102, 2)):
        calibration.update(grid(*[0] * 5), grid(*[confidence] * 5), grid(*[0] * right, *[1] * (5 - right)))
    assert calibration.ece() == pytest.approx(0, abs=1e-12)


def test_without_a_labelled_pixel_there_is_no_figure() -> None:
    calibration = Calibration()
    assert math.isnan(calibration.ece())
    calibration.update(grid(0, 255), grid(9, 9), grid(255, 0))
    assert math.isnan(calibration.ece())


@given(
    st.lists(
        st.integers(1, 30).flatmap(
            lambda n: st.tuples(
                arrays(np.uint8, n, elements=labels),
                arrays(np.uint8, n, elements=confidences),
                arrays(np.uint8, n, elements=labels),
            )
        ),
        max_size=3,
    )
)
def test_ece_equals_sorting_pixel_by_pixel(images: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    calibration = Calibration()
    bins: list[list[tuple[Fraction, bool]]] = [[] for _ in range(15)]
    for image in images:
        calibration.update(*image)
        for pred, value, truth in zip(*(a.tolist() for a in image), strict=True):
            if 255 not in (pred, truth):
                confidence = Fraction(value, 255)
                place = next(m for m in range(15) if confidence <= Fraction(m + 1, 15))
                bins[place].append((confidence, pred == truth))
    total = sum(map(len, bins))
    gaps = [abs(sum(ok for _, ok in b) - sum(c for c, _ in b)) for b in bins]
    np.testing.assert_allclose(calibration.ece(), float(sum(gaps) / total) if total else math.nan, atol=1e-12)
    for b, row in zip(bins, calibration.table(), strict=True):
        assert row.pixels == len(b)
        np.testing.assert_allclose(row.accuracy, sum(ok for _, ok in b) / len(b) if b else math.nan)
        np.testing.assert_allclose(row.confidence, float(sum(c for c, _ in b) / len(b)) if b else math.nan)


def test_images_that_do_not_fit_are_refused() -> None:
    calibration = Calibration()
    with pytest.raises(ValueError, match=r"confidence uint8 \(1, 2\)"):
        calibration.update(grid(0), grid(0, 0), grid(0))
    with pytest.raises(ValueError, match="confidence float32"):
        calibration.update(grid(0), np.zeros((1, 1), np.float32), grid(0))
    assert math.isnan(calibration.ece())


@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"the CamVid validation drive is not at {CAMVID}")
@pytest.mark.parametrize("confidence", [255, 128])
def test_ground_truth_taken_for_a_prediction_is_as_wrong_as_its_confidence_is_low(confidence: int) -> None:
    calibration = Calibration()
    labelled = 0
    for path in sorted((CAMVID / "labels").iterdir()):
        truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        calibration.update(truth, np.full_like(truth, confidence), truth)
        labelled += np.count_nonzero(truth != 255)
    assert calibration.ece() == pytest.approx(1 - confidence / 255)
    assert [b.pixels for b in calibration.table() if b.pixels] == [labelled]
