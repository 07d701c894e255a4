"""What the clip memory has to beat: the same network frame by frame, and averages of its probabilities over time."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from t2g_ros.flow import METHODS, Flow, Method
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes.base import Runtime

RAISE = 2
"""How much finer than the scores' grid the labels' is, as in `model.time2general.resolve`."""


class SingleFrameSegmenter(StreamSegmenter):
    """Segments every frame with nothing but itself in memory.

    Takes the arguments of `StreamSegmenter`, resets as it does, and delays by the same lag, so that what it gives can
    be laid beside what the memory gives frame by frame. `clip_span_s` changes nothing here.
    """

    def _view(self, reference: int) -> tuple[np.ndarray, np.ndarray]:
        offsets_s, valid = np.zeros((2, self.runtime.slots), np.float32)
        valid[reference] = 1
        return offsets_s, valid


class EmaSegmenter(SingleFrameSegmenter):
    """Segments frame by frame and averages the class probabilities over time (exponential moving average).

    p = weight * p_before + (1 - weight) * p_now, pixel by pixel where they are: nothing follows motion. The average
    starts afresh whenever the stream does.

    Args:
        runtime: the engine; its clip buffers belong to this stream from now on.
        weight: of what was averaged before, 0 to less than 1; 0 is `SingleFrameSegmenter`.
        options: those of `StreamSegmenter`.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(self, runtime: Runtime, weight: float = 0.5, **options: Any) -> None:
        if not 0.0 <= weight < 1.0:
            raise ValueError(f"weight is {weight}, expected 0 to less than 1")
        super().__init__(runtime, **options)
        self.weight = weight
        self._average: NDArray[np.float32] | None = None  # (K, h, w)
        # The graph of the scores is made at its first use: better now than in the first frame's time.
        runtime.decode_scores(0, np.zeros(runtime.slots, np.float32), np.ones(runtime.slots, np.float32))

    def reset(self, cause: str) -> None:
        """See `StreamSegmenter.reset`; the average is forgotten too."""
        super().reset(cause)
        self._average = None

    def _decode(self, reference: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        now = softmax(self.runtime.decode_scores(reference, offsets_s, valid))
        self._average = now if self._average is None else self._blend(self._average, now)
        return resolve(self._average)

    def _blend(self, before: NDArray[np.float32], now: NDArray[np.float32]) -> NDArray[np.float32]:
        """The average of both, (K, h, w); either may be written over."""
        return np.asarray(cv2.addWeighted(before, self.weight, now, 1 - self.weight, 0, dst=before), np.float32)


class FlowEmaSegmenter(EmaSegmenter):
    """Averages the class probabilities over time as `EmaSegmenter`, but along dense optical flow.

    What was averaged before is brought to the places of the new frame first. A pixel on which forward and backward flow
    disagree, because it was hidden or outside before, starts afresh with the new frame's probabilities.

    Args:
        runtime: as `EmaSegmenter`.
        weight: likewise.
        flow: how pixels are followed; its time is part of the frame's.
        options: those of `StreamSegmenter`.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(self, runtime: Runtime, weight: float = 0.5, flow: Method = METHODS["dis"], **options: Any) -> None:
        super().__init__(runtime, weight, **options)
        self._flow = flow
        self._last_rgb: NDArray[np.uint8] | None = None

    def _decode(self, reference: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decoded = super()._decode(reference, offsets_s, valid)
        self._last_rgb = self._pending[0].rgb
        return decoded

    def _blend(self, before: NDArray[np.float32], now: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self._last_rgb is not None
        flow, _ = self._flow.both(self._last_rgb, self._pending[0].rgb)
        return average_along(flow, before, now, self.weight)


def average_along(
    flow: Flow, before: NDArray[np.float32], now: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """Average probabilities (K, h, w) with those of the frame before, brought to the new frame's places by the flow.

    weight * p_before + (1 - weight) * p_now where the flow can follow, p_now elsewhere. Places between pixels are
    interpolated linearly.
    """
    where, followed = flow.at((now.shape[1], now.shape[2]))
    average = now.copy()
    for past, fresh, out in zip(before, now, average, strict=True):
        carried = cv2.remap(past, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        cv2.copyTo(cv2.addWeighted(carried, weight, fresh, 1 - weight, 0), followed, out)
    return average


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities of scores (K, h, w)."""
    likely = np.exp(scores - scores.max(axis=0))
    return likely / likely.sum(axis=0)


def resolve(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Turn probabilities (K, h, w) into labels (2 h, 2 w) and confidence (h, w), both uint8.

    As `model.time2general.resolve` does with scores, without torch: it is the logarithms that are raised to the
    labels' grid, so that an average over one frame gives that frame's labels.
    """
    confidence = np.rint(probabilities.max(axis=0) * 255).astype(np.uint8)
    scores = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    height, width = confidence.shape
    size = width * RAISE, height * RAISE
    # Class by class, because an argmax over an axis of so few takes several times as long.
    best = cv2.resize(scores[0], size, interpolation=cv2.INTER_LINEAR)
    labels = np.zeros(best.shape, np.uint8)
    raised, wins, label = np.empty_like(best), np.empty_like(labels), np.empty_like(labels)
    for k in range(1, len(scores)):
        cv2.resize(scores[k], size, dst=raised, interpolation=cv2.INTER_LINEAR)
        cv2.compare(raised, best, cv2.CMP_GT, dst=wins)
        label.fill(k)
        cv2.copyTo(label, wins, labels)
        cv2.max(raised, best, dst=best)
    return labels, confidence
