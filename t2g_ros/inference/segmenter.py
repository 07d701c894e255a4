"""The heart: frames in, segmentations out, the memory between them. Node, replay, demo and benchmarks all drive it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import cv2
import numpy as np

from t2g_ros.errors import InputError
from t2g_ros.inference.clip_memory import CLIP_SPAN_S, ClipMemory
from t2g_ros.inference.scaling import to_input
from t2g_ros.inference.steps import Step
from t2g_ros.labels import IGNORE
from t2g_ros.runtimes.base import Runtime
from t2g_ros.types import NS_PER_S, Frame, Segmentation

OUTPUT_RESOLUTIONS = ("source", "model")


class StreamSegmenter:
    """Segments one camera's stream.

    Every frame is encoded once and decoded once against the memory. The memory empties itself when time goes
    backwards (`stamp_backward`: a bag loops), after a silence (`gap`) and when the image size changes
    (`size_change`).

    Args:
        runtime: the engine; its clip buffers belong to this stream from now on.
        clip_span_s: seconds that the frames in memory span.
        max_gap_s: a longer pause between two frames empties the memory.
        lag: frames by which the output trails the input; the memory then also holds the future.
        output_resolution: `source` or `model` (the input size of `runtime`, also after a `switch`).
        min_confidence: labels less certain than this, 0..1, become 255.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        clip_span_s: float = CLIP_SPAN_S,
        max_gap_s: float = 2.0,
        lag: int = 0,
        output_resolution: str = "source",
        min_confidence: float = 0.0,
    ) -> None:
        if output_resolution not in OUTPUT_RESOLUTIONS:
            raise ValueError(f"output_resolution '{output_resolution}': expected one of {OUTPUT_RESOLUTIONS}")
        if not max_gap_s > 0:
            raise ValueError(f"max_gap_s is {max_gap_s}, expected more than 0")
        if not 0.0 <= min_confidence <= 1.0:
            raise ValueError(f"min_confidence is {min_confidence}, expected 0 to 1")
        self.runtime = runtime
        self.max_gap_s = max_gap_s
        self.output_resolution = output_resolution
        self.min_confidence = min_confidence
        self.reset_counts: Counter[str] = Counter()
        self.forgotten = 0
        """Frames that a reset took while they waited for their future: they get no mask."""
        self._clip_span_s = clip_span_s
        self._lag = lag
        self._model_size = runtime.input_size
        self._memory = ClipMemory(runtime.slots, clip_span_s, lag)
        self._pending: deque[Frame] = deque(maxlen=lag + 1)  # oldest is the one to segment next
        self._reset_cause: str | None = None

    @property
    def memory_bytes(self) -> int:
        """Bytes of the clip memory, constant from one `switch` to the next."""
        return self.runtime.memory_bytes

    @property
    def waiting(self) -> int:
        """Frames that wait for their future."""
        return min(len(self._pending), self._lag)

    def reset(self, cause: str) -> None:
        """Empty the memory; the next segmentation carries the cause."""
        self.forgotten += self.waiting
        self._empty(cause)

    def _empty(self, cause: str) -> None:
        self._memory.clear()
        self._pending.clear()
        self.reset_counts[cause] += 1
        self._reset_cause = cause

    def switch(self, runtime: Runtime, cause: str) -> None:
        """Go on in another engine, of the same classes, whose clip buffers belong to this stream from now on.

        What is remembered lies in the buffers of the engine before, so the memory starts anew, as after a `reset`;
        but frames that wait for their future are taken along, and are segmented when they are due.

        Raises:
            ValueError: the lag does not fit the engine; all is as before.
            Exception: whatever the engine raises; the memory is emptied then (`inference_error`).
        """
        waiting = list(self._pending)[-self._lag :] if self._lag else []
        self._memory = ClipMemory(runtime.slots, self._clip_span_s, self._lag)
        self.runtime = runtime
        self._empty(cause)
        try:
            for frame in waiting:
                self._take(self._admit(frame))
        except Exception:
            self._empty("inference_error")
            self.forgotten += len(waiting)
            raise

    def step(self, frame: Frame) -> Segmentation | None:
        """Take the next frame and segment the one that is due, None while a lag fills.

        Raises:
            InputError: the frame is not (H, W, 3) uint8 or repeats the last stamp; the memory is as before.
            Exception: whatever the engine raises; the memory is emptied then (`inference_error`).
        """
        return self.finish(self.begin(frame))

    def begin(self, frame: Frame) -> Step:
        """Do the first half of `step`, until the frame has to be encoded, alone or with those of other streams.

        Raises:
            InputError, Exception: as `step`.
        """
        self._check(frame)
        self._reset_if_broken(frame)
        with self._reset_on_error():
            return self._admit(frame)

    def finish(self, step: Step) -> Segmentation | None:
        """Do the other half of `step`, right after its `begin`; the frame is encoded unless it is already.

        Raises:
            Exception: as `step`.
        """
        with self._reset_on_error():
            self._take(step)
            return self._segment(step.stage_ms)

    @contextmanager
    def _reset_on_error(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.reset("inference_error")
            raise

    def _segment(self, stages: dict[str, float]) -> Segmentation | None:
        start = perf_counter()

        def lap(stage: str) -> None:
            nonlocal start
            now = perf_counter()
            stages[stage] = (now - start) * 1e3
            start = now

        reference = self._memory.reference()
        if reference is None:
            return None
        offsets_s, valid = self._view(reference)
        labels, confidence = self._decode(reference, offsets_s, valid)
        lap("decode")
        segmentation = self._segmentation(self._pending[0], labels, confidence, offsets_s, valid, stages)
        lap("postprocess")
        self._reset_cause = None
        return segmentation

    def _admit(self, frame: Frame) -> Step:
        """Scale a frame, and make room for it."""
        start = perf_counter()
        step = Step(
            self.runtime, frame, to_input(frame.rgb, self.runtime.input_size), self._memory.claim(frame.stamp_ns)
        )
        step.stage_ms["preprocess"] = (perf_counter() - start) * 1e3
        return step

    def _take(self, step: Step) -> None:
        """Encode a frame unless it is already; from then on it waits to be segmented."""
        if not step.encoded:
            step.encode()
        self._pending.append(step.frame)

    def _view(self, reference: int) -> tuple[np.ndarray, np.ndarray]:
        """Which slots the frame in slot `reference` is decoded against, as `ClipMemory.view`."""
        return self._memory.view(reference)

    def _decode(self, reference: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels and confidence of the frame in slot `reference`, as `Runtime.decode`."""
        return self.runtime.decode(reference, offsets_s, valid)

    def _check(self, frame: Frame) -> None:
        rgb = frame.rgb
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise InputError(f"frame: found {rgb.dtype} {rgb.shape}, expected uint8 (H, W, 3) with H, W > 0")
        if frame.stamp_ns == self._memory.newest_stamp_ns:
            raise InputError(f"frame: stamp {frame.stamp_ns} ns repeats the last one; each frame needs its own")

    def _reset_if_broken(self, frame: Frame) -> None:
        """Empty the memory if the frame does not continue the stream."""
        newest = self._memory.newest_stamp_ns
        if newest is None:
            return
        if frame.stamp_ns < newest:
            self.reset("stamp_backward")
        elif frame.stamp_ns - newest > self.max_gap_s * NS_PER_S:
            self.reset("gap")
        elif frame.size != self._pending[-1].size:
            self.reset("size_change")

    def _segmentation(
        self,
        frame: Frame,
        model_labels: np.ndarray,
        confidence: np.ndarray,
        offsets_s: np.ndarray,
        valid: np.ndarray,
        stages: dict[str, float],
    ) -> Segmentation:
        height, width = frame.size if self.output_resolution == "source" else self._model_size
        # Class ids are never blended but repeated. INTER_NEAREST takes one that lies up to half a cell off.
        labels = cv2.resize(model_labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        held = offsets_s[valid > 0]
        segmentation = Segmentation(
            frame=frame,
            labels=labels,
            model_confidence=confidence,
            model_labels=model_labels,
            clip_frames=int(valid.sum()),
            clip_span_s=float(held.max() - held.min()),
            reset_cause=self._reset_cause,
            stage_ms=stages,
        )
        if self.min_confidence > 0:
            labels[segmentation.confidence < self.min_confidence * 255] = IGNORE
        return segmentation
