"""The live measure of stability, on synthetic streams whose true motion and true changes are known."""

import gc
import tracemalloc
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from t2g_ros.inference.stability import FLOW_GAP_S, Stability, StabilityMonitor
from t2g_ros.types import NS_PER_S, Frame, Segmentation

H, W = 128, 256  # the labels' grid; the camera's image is twice as large
WORLD = np.random.default_rng(3)


def texture(height: int, width: int) -> np.ndarray:
    """Smooth random texture, (height, width, 3) uint8, that flow can follow."""
    noise = cv2.GaussianBlur(WORLD.random((height, width), np.float32), (0, 0), 4)
    noise = (noise - noise.min()) / (noise.max() - noise.min()) * 255
    return np.repeat(noise.astype(np.uint8)[..., None], 3, axis=2)


def blobs(height: int, width: int) -> np.ndarray:
    """Labels in smooth regions, (height, width) uint8."""
    noise = cv2.GaussianBlur(WORLD.random((height, width), np.float32), (0, 0), 10)
    return np.digitize(noise, np.quantile(noise, [0.3, 0.6])).astype(np.uint8)


STILL = texture(2 * H, 2 * W)
PANORAMA = texture(2 * H, 4 * W), blobs(H, 2 * W)
LABELS = blobs(H, W)


def segmentation(rgb: np.ndarray, labels: np.ndarray, time_s: float, reset_cause: str | None = None) -> Segmentation:
    full = cv2.resize(labels, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    confidence = np.full(full.shape, 204, np.uint8)
    frame = Frame(rgb, 1_700_000_000 * NS_PER_S + round(time_s * NS_PER_S))
    return Segmentation(frame, full, confidence, labels, 1, 0.0, reset_cause)


def pan(frames: int, pixels: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A camera that turns by `pixels` of the labels' grid a frame over a world with fixed labels."""
    rgb, labels = PANORAMA
    for i in range(frames):
        x = i * pixels
        yield np.ascontiguousarray(rgb[:, 2 * x : 2 * (x + W)]), np.ascontiguousarray(labels[:, x : x + W])


def play(monitor: StabilityMonitor, labels: list[np.ndarray], rate_hz: float, start_s: float = 0.0) -> list[Stability]:
    return [monitor.update(segmentation(STILL, mask, start_s + i / rate_hz)) for i, mask in enumerate(labels)]


def test_unchanging_labels_are_perfectly_stable() -> None:
    first, *others = play(StabilityMonitor(), [LABELS] * 6, 30)
    assert (first.flicker, first.consistency, first.interval_s, first.rate_hz) == (None, None, None, None)
    assert (first.mean_flicker, first.mean_consistency) == (None, None)
    for stability in others:
        assert (stability.flicker, stability.consistency) == (0, 1)
        assert (stability.mean_flicker, stability.mean_consistency) == (0, 1)
    for stability in (first, *others):
        assert stability.map.shape == LABELS.shape
        assert stability.map.dtype == np.uint8
        assert (stability.map == 255).all()
        assert stability.mean_confidence == pytest.approx(0.8)


@pytest.mark.parametrize("pixels", [1, 3, 6])
def test_labels_that_move_with_the_scene_flicker_but_are_consistent(pixels: int) -> None:
    monitor = StabilityMonitor()
    *_, last = [monitor.update(segmentation(*view, i / 15)) for i, view in enumerate(pan(10, pixels))]
    assert last.mean_flicker is not None
    assert last.mean_consistency is not None
    assert last.mean_flicker > 0.01 * pixels
    assert last.mean_consistency > 0.99
    assert (last.map == 255).mean() > 0.95


def test_labels_that_stay_while_the_scene_moves_are_inconsistent() -> None:
    monitor = StabilityMonitor()
    labels = next(pan(1, 0))[1]
    *_, last = [monitor.update(segmentation(rgb, labels, i / 15)) for i, (rgb, _) in enumerate(pan(10, 6))]
    assert last.mean_flicker == 0
    assert last.mean_consistency is not None
    assert last.mean_consistency < 0.95


def test_random_labels_show_where_they_are() -> None:
    rng = np.random.default_rng(0)
    noisy = np.zeros((H, W), bool)
    noisy[32:96, 64:192] = True
    masks = [np.where(noisy, rng.integers(0, 19, (H, W)), LABELS).astype(np.uint8) for _ in range(5)]
    *_, last = play(StabilityMonitor(), masks, 15)
    changed = noisy.mean() * 18 / 19
    assert last.flicker == pytest.approx(changed, rel=0.05)
    assert last.consistency == pytest.approx(1 - changed, rel=0.05)
    assert last.map[noisy].mean() < 32
    assert (last.map[~noisy] == 255).all()


@pytest.mark.parametrize("since_s", [0.2, 0.6, 1.0])
def test_the_map_recovers_by_time_not_by_frames(since_s: float) -> None:
    blink = LABELS.copy()
    blink[40:60, 100:140] = 9
    levels = []
    for rate_hz in (30, 15, 5):
        *_, last = play(StabilityMonitor(window_s=2.0), [LABELS, blink] + [blink] * round(since_s * rate_hz), rate_hz)
        levels.append(last.map[40:60, 100:140])
        assert (last.map == 255).sum() >= LABELS.size - 20 * 40
    expected = 255 * (1 - np.exp(-since_s / 0.5))
    for level in levels:
        np.testing.assert_allclose(level, expected, atol=1)


def test_a_change_travels_with_the_scene() -> None:
    monitor = StabilityMonitor()
    for i, (rgb, labels) in enumerate(pan(8, 4)):
        labels = labels.copy()
        x = 160 - 4 * i  # a patch fixed to the world
        if i >= 2:
            labels[50:70, x : x + 20] = 9
        last = monitor.update(segmentation(rgb, labels, i / 15))
    assert last.map[53:67, x + 3 : x + 17].mean() < 160
    assert last.map[53:67, x + 27 : x + 100].mean() > 245


def test_rate_and_interval_follow_the_stamps() -> None:
    monitor = StabilityMonitor(window_s=1.0)
    for i in range(25):
        at_10_hz = monitor.update(segmentation(STILL, LABELS, i / 10))
    assert at_10_hz.interval_s == pytest.approx(0.1)
    assert at_10_hz.rate_hz == pytest.approx(10)
    slower = monitor.update(segmentation(STILL, LABELS, 2.4 + 0.4))
    assert slower.interval_s == pytest.approx(0.4)
    assert slower.rate_hz == pytest.approx(7 / 1.0)  # seven intervals in the last second


def test_a_stream_slower_than_the_window_still_has_a_rate() -> None:
    monitor = StabilityMonitor(window_s=1.0)
    last = [monitor.update(segmentation(STILL, LABELS, 1.5 * i)) for i in range(4)][-1]
    assert last.rate_hz == pytest.approx(1 / 1.5)


def test_means_cover_the_window_only() -> None:
    noise = [np.full_like(LABELS, i % 2) for i in range(10)]
    monitor = StabilityMonitor(window_s=0.5)
    assert play(monitor, noise, 10)[-1].mean_flicker == 1
    assert play(monitor, [noise[-1]] * 10, 10, start_s=1)[-1].mean_flicker == 0


def test_across_a_gap_flow_is_not_asked() -> None:
    other = np.full_like(LABELS, 9)
    slow = play(StabilityMonitor(), [LABELS, other, LABELS], 0.9 / FLOW_GAP_S)
    assert slow[-1].flicker == 1
    assert slow[-1].consistency is None
    assert slow[-1].mean_consistency is None
    assert (slow[-1].map == 255).all()
    assert play(StabilityMonitor(), [LABELS, other], 1.1 / FLOW_GAP_S)[-1].consistency == 0


def test_an_image_with_nothing_in_common_gives_no_consistency() -> None:
    monitor = StabilityMonitor()
    rng = np.random.default_rng(1)
    for i in range(2):
        noise = rng.integers(0, 256, STILL.shape, dtype=np.uint8)
        last = monitor.update(segmentation(noise, LABELS, i / 15))
    assert last.flicker == 0
    assert last.consistency is None


@pytest.mark.parametrize("how", ["call", "segmentation", "size"])
def test_reset_starts_afresh(how: str) -> None:
    monitor = StabilityMonitor()
    play(monitor, [np.full_like(LABELS, i % 2) for i in range(5)], 10)
    labels, cause = LABELS, None
    if how == "call":
        monitor.reset()
    elif how == "segmentation":
        cause = "stamp_backward"
    else:
        labels = np.ascontiguousarray(LABELS[:64, :128])
    fresh = monitor.update(segmentation(STILL, labels, -5.0, cause))
    assert (fresh.flicker, fresh.rate_hz, fresh.mean_flicker, fresh.interval_s) == (None, None, None, None)
    assert fresh.map.shape == labels.shape
    assert (fresh.map == 255).all()
    after = monitor.update(segmentation(STILL, labels, -4.9))
    assert (after.flicker, after.mean_flicker, after.consistency) == (0, 0, 1)
    assert after.interval_s == pytest.approx(0.1)


def test_a_result_is_the_callers_to_keep() -> None:
    monitor = StabilityMonitor()
    labels = LABELS.copy()
    play(monitor, [labels], 10)
    labels[:] = 9  # the caller may reuse its array
    kept = monitor.update(segmentation(STILL, LABELS, 0.1))
    assert kept.flicker == 0
    before = kept.map.copy()
    play(monitor, [labels, LABELS, labels], 10, start_s=0.2)
    np.testing.assert_array_equal(kept.map, before)


def test_a_long_stream_allocates_nothing_lasting() -> None:
    monitor = StabilityMonitor()
    masks = [LABELS, np.full_like(LABELS, 3)]
    shown = [segmentation(STILL, masks[i % 2], i / 30) for i in range(300)]
    for item in shown[:100]:
        monitor.update(item)
    gc.collect()
    tracemalloc.start()
    try:
        monitor.update(shown[100])
        before = tracemalloc.get_traced_memory()[0]
        for item in shown[101:]:
            monitor.update(item)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 16_384


def test_window_must_be_positive() -> None:
    with pytest.raises(ValueError, match="window_s is 0"):
        StabilityMonitor(0)
