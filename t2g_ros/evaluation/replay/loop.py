"""The replay of one recording under one condition: read, segment by every model and mode, judge."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from t2g_ros.evaluation.corruptions import Corruption
from t2g_ros.evaluation.replay.conditions import Condition
from t2g_ros.evaluation.replay.counts import Counts
from t2g_ros.evaluation.replay.judge import Flows, FrameFigures, Judge, TruthFlicker
from t2g_ros.flow import Method
from t2g_ros.labels import IGNORE, LabelSpace, remap_table
from t2g_ros.sources import Source, SourceFrame
from t2g_ros.types import Frame, Segmentation

CHUNK = 8
"""Frames that are read, segmented and judged at a time; fewer at first, since the engine waits for them."""


class Segmenter(Protocol):
    """What all modes of a network have in common; see `StreamSegmenter`."""

    reset_counts: Counter[str]

    def step(self, frame: Frame) -> Segmentation | None:
        """Take the next frame of the stream."""


@dataclass(frozen=True)
class Run:
    """One model in one mode."""

    model: str
    mode: str
    """`memory`, or one of the baselines' in `evaluation.models`."""
    labels: LabelSpace
    """Classes of its masks."""
    start: Callable[[], Segmenter]
    """Makes a segmenter whose stream begins."""


class Shot(NamedTuple):
    """One frame of a stream, ready to be segmented."""

    item: SourceFrame
    """As recorded."""
    frame: Frame
    """As segmented: under the condition."""
    truth: NDArray[np.uint8] | None
    """(H, W) uint8 in the label space that is judged in."""
    judges: bool
    """Whether it counts towards accuracy."""
    flows: Flows | None
    """Against the frame before, on the images as recorded, so that every condition is judged by the same motion."""


class Observer(Protocol):
    """What looks at the first run's masks besides the judge: timeline, overlay, bag."""

    def __call__(
        self, shot: Shot, segmentation: Segmentation, figures: FrameFigures, truth_flicker: tuple[float, float]
    ) -> None:
        """Take the next frame."""


class Replay:
    """Replays recordings through runs and judges them in one label space.

    The engine works alone, so that its times are its own; while it rests, the masks are judged and the next frames
    are read, in two threads.

    Args:
        runs: each gets every frame.
        space: in which masks and truth are compared.
        flow: how pixels are followed from frame to frame.
        tick: is called after each frame.
    """

    def __init__(
        self, runs: Sequence[Run], space: LabelSpace, flow: Method, tick: Callable[[], object] = lambda: None
    ) -> None:
        self._runs = runs
        self._space = space
        self._flow = flow
        self._tick = tick
        self.frames = 0
        """Frames that were read, once for each stream that they are in."""
        self.labelled_frames = 0
        """Those of them with at least one labelled pixel."""
        self.repeated = 0
        """Frames that were left out because they repeat the stamp of the one before."""

    def __call__(
        self, source: Source, condition: Condition, observers: Sequence[Sequence[Observer]] = ()
    ) -> list[Counts]:
        """Replay one recording under one condition.

        Args:
            source: is read once per stream of the condition.
            condition: which frames, and what is done to them.
            observers: of each run, called in the order of the frames.

        Returns:
            The counts of each run.

        Raises:
            InputError: the recording cannot be read, or its labels do not fit it.
        """
        judges = [Judge(len(self._space), remap_table(run.labels, self._space)) for run in self._runs]
        watched = observers or [()] * len(judges)
        # Streams that begin behind the recording's end need not be read to be found empty.
        streams = condition.streams if condition.drop else min(condition.streams, source.count or condition.streams)
        for stream in range(streams):
            segmenters = [run.start() for run in self._runs]
            for judge in judges:
                judge.start_stream()
            truth_flicker = TruthFlicker()
            with closing(self._segmented(source, condition, stream, segmenters)) as steps:
                for shot, segmentations in steps:
                    # All runs break at the same frames.
                    flows = shot.flows if segmentations[0].reset_cause is None else None
                    of_truth = truth_flicker.update(shot.truth, flows)
                    for judge, segmentation, watching in zip(judges, segmentations, watched, strict=True):
                        figures = judge.update(segmentation, shot.truth, flows, of_truth, judges=shot.judges)
                        for observer in watching:
                            observer(shot, segmentation, figures, of_truth)
                    self._tick()
            for judge, segmenter in zip(judges, segmenters, strict=True):
                judge.add_resets(segmenter.reset_counts)
        return [judge.counts() for judge in judges]

    def _segmented(
        self, source: Source, condition: Condition, stream: int, segmenters: list[Segmenter]
    ) -> Generator[tuple[Shot, list[Segmentation]], None, None]:
        shots = self._shots(source, condition, stream)
        waiting: deque[Shot] = deque()
        with ThreadPoolExecutor(max_workers=1) as reader:
            try:
                count = 1
                chunk = reader.submit(take, shots, count)
                while read := chunk.result():
                    steps = [step for shot in read if (step := _step(segmenters, shot, waiting)) is not None]
                    count = min(2 * count, CHUNK)
                    chunk = reader.submit(take, shots, count)
                    yield from steps  # judged by the caller now
            finally:
                reader.submit(shots.close).result()  # where it was opened, as SQLite wants it

    def _shots(self, source: Source, condition: Condition, stream: int) -> Generator[Shot, None, None]:
        table = None if source.label_space is None else remap_table(source.label_space, self._space)
        corrupt = None
        if condition.corruption is not None and condition.severity is not None:
            corrupt = Corruption(condition.corruption, condition.severity, condition.seed)
        last: Frame | None = None
        for item in self._items(source, lambda index: condition.keeps(index, stream)):
            frame = item.frame
            flows = None
            if last is not None and last.size == frame.size:
                flows = Flows(*self._flow.both(last.rgb, frame.rgb))
            last = frame
            truth = None if item.labels is None or table is None else np.take(table, item.labels)
            if truth is not None and (truth == IGNORE).all():
                truth = None  # nothing to compare with
            self.frames += 1
            self.labelled_frames += truth is not None
            seen = frame if corrupt is None else replace(frame, rgb=corrupt(frame.rgb))
            yield Shot(item, seen, truth, condition.judges(item.index, stream), flows)

    def _items(self, source: Source, keep: Callable[[int], bool]) -> Iterator[SourceFrame]:
        last_ns: int | None = None
        for item in source.read(keep):
            # The node, too, takes only one image of a stamp.
            if item.frame.stamp_ns == last_ns:
                self.repeated += 1
                continue
            last_ns = item.frame.stamp_ns
            yield item


def take(shots: Iterator[Shot], count: int) -> list[Shot]:
    """Return that many of the next shots, fewer at the end."""
    return list(islice(shots, count))


def _step(segmenters: list[Segmenter], shot: Shot, waiting: deque[Shot]) -> tuple[Shot, list[Segmentation]] | None:
    """Segment by every run; returns the answers with the shot that they are for, None while a lag fills."""
    waiting.append(shot)
    steps = [segmenter.step(shot.frame) for segmenter in segmenters]
    # All runs have the same lag, so that all of them answer or none.
    answers = [segmentation for segmentation in steps if segmentation is not None]
    if not answers:
        return None
    while waiting[0].frame is not answers[0].frame:
        waiting.popleft()  # a break in the stream came before its turn
    return waiting.popleft(), answers
