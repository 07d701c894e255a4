"""The evaluation of models on recordings under conditions, shared among processes, and what it leaves in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tqdm import tqdm

from t2g_ros.errors import InputError
from t2g_ros.evaluation.merge import Merged, merge
from t2g_ros.evaluation.models import Load, open_models, unique
from t2g_ros.evaluation.outputs.folder import OutputFolder
from t2g_ros.evaluation.outputs.moments import WorstMoments, moment_to_json
from t2g_ros.evaluation.outputs.timeline import Timeline
from t2g_ros.evaluation.replay.conditions import Condition
from t2g_ros.evaluation.replay.counts import Counts
from t2g_ros.evaluation.replay.loop import Observer, Replay
from t2g_ros.evaluation.report.results import machine, robustness, versions
from t2g_ros.evaluation.report.schema import SCHEMA
from t2g_ros.evaluation.shards import Shards
from t2g_ros.flow import METHODS
from t2g_ros.inference.clip_memory import CLIP_SPAN_S
from t2g_ros.labels import LabelSpace, common_space
from t2g_ros.sources import Source


@dataclass(frozen=True)
class Options:
    """What is evaluated besides recordings and models."""

    conditions: Sequence[Condition]
    """The first one is the headline: it is shown frame by frame."""
    out: Path
    """Folder for metrics.json, report.html and overlay.mp4."""
    baselines: bool = False
    """Also run the network without its memory, alone and with exponential moving averages; see `open_models`."""
    classes: str | None = None
    """Label space to judge in; None takes the finest that model and ground truth map to."""
    flow: str = "dis"
    """A key of `flow.METHODS`."""
    clip_span_s: float = CLIP_SPAN_S
    max_gap_s: float = 2.0
    lag_frames: int = 0
    overlay: bool = True
    masks_bag: Path | None = None
    threads: int = 0
    """CPU threads of an engine, for the record."""
    command: Sequence[str] = field(default=())
    """As typed, for the record."""


class Evaluation:
    """Evaluates models on recordings.

    Work is dealt out by recording and condition. Every process opens all models, since every row has all of them.

    Args:
        sources: the recordings.
        models: shipped names or weights files.
        load: opens a model in an engine of its own.
        options: all else.
        shards: this process among its peers.

    Raises:
        InputError: the label spaces of models and recordings cannot be compared, or a lag or span is out of range.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        models: Sequence[str],
        load: Load,
        options: Options,
        shards: Shards,
    ) -> None:
        self._sources = sources
        self._names = _names(sources)
        self._options = options
        self._shards = shards
        self._folder = OutputFolder(options.out, self._names, options.overlay, options.masks_bag)
        self._runs, self._models = open_models(
            models,
            load,
            baselines=options.baselines,
            flow=METHODS[options.flow],
            clip_span_s=options.clip_span_s,
            max_gap_s=options.max_gap_s,
            lag=options.lag_frames,
        )
        spaces = [run.labels for run in self._runs]
        spaces += [source.label_space for source in sources if source.label_space is not None]
        try:
            self._space = common_space(spaces, options.classes)
        except ValueError as error:
            raise InputError(f"evaluate: {error}; say with --classes in which to judge") from error

    def prepare(self) -> None:
        """Make room for the results; see `OutputFolder.prepare`. Only the process that leads should."""
        self._folder.prepare(self._sources)

    def run(self) -> dict[str, Any] | None:
        """Evaluate, write the results, and return what is in metrics.json; None on processes that do not lead.

        A recording that cannot be evaluated is named among the inputs, with 0 frames and the reason, and the others
        are judged without it.

        Raises:
            InputError: no recording can be evaluated.
            T2GError: the results cannot be written.
        """
        start = time.perf_counter()
        units = [(s, c) for s in range(len(self._sources)) for c in range(len(self._options.conditions))]
        mine = units[self._shards.rank :: self._shards.count]
        with tqdm(total=self._masks_due(mine), desc="evaluate", unit="frame", disable=None) as progress:
            done = [self._unit(source, condition, progress.update) for source, condition in mine]
        gathered = self._shards.gather(done)
        if not self._shards.leads:
            return None
        # In the order of one process, so that sums of floats are the same to the last bit.
        by_unit = {(unit["source"], unit["condition"]): unit for part in gathered for unit in part}
        merged = merge([by_unit[unit] for unit in units], self._runs, self._options.conditions, self._space)
        if not merged.inputs:
            raise InputError(merged.failed[0])
        results = self._results(merged, time.perf_counter() - start)
        self._folder.write(results, merged.moments)
        return results

    def _masks_due(self, units: Sequence[tuple[int, int]]) -> int | None:
        """How many frames the replays will segment, None where a recording does not say its length."""
        total = 0.0
        for source, condition in units:
            count, under = self._sources[source].count, self._options.conditions[condition]
            if count is None:
                return None
            total += count * (under.streams * (1 - under.drop) if under.drop else 1)
        return round(total)

    def _unit(self, source_index: int, condition_index: int, tick: Callable[[], object]) -> dict[str, Any]:
        """Replay one recording under one condition; returns plain values."""
        source, condition = self._sources[source_index], self._options.conditions[condition_index]
        replay = Replay(self._runs, self._space, METHODS[self._options.flow], tick)
        unit: dict[str, Any] = {"source": source_index, "condition": condition_index}
        try:
            counts = replay(source, condition) if condition_index else self._headline(replay, source_index, unit)
        except InputError as error:
            return unit | {"failed": str(error)}
        return unit | {"counts": [each.to_json() for each in counts]}

    def _headline(self, replay: Replay, source_index: int, unit: dict[str, Any]) -> list[Counts]:
        """Replay the recording as it is, with all that is shown frame by frame."""
        source, name, condition = self._sources[source_index], self._names[source_index], self._options.conditions[0]
        timelines = [
            Timeline(input=name, model=run.model, mode=run.mode, condition=condition.name) for run in self._runs
        ]
        moments = WorstMoments(name, self._runs[0].labels, self._space)
        with self._folder.showing(source, name, self._runs[0].labels, moments) as showing:
            watched: list[list[Observer]] = [[timeline] for timeline in timelines]
            watched[0].append(showing)
            counts = replay(source, condition, watched)
            if not replay.frames:
                raise InputError(f"{source.path}: no frame can be read; {'; '.join(source.losses) or 'it holds none'}")
            if not counts[0].masks:
                lag = self._options.lag_frames
                raise InputError(f"{source.path}: found {replay.frames} frames, expected more for a lag of {lag}")
        repeated = f"{replay.repeated} frames repeat the stamp of the frame before and were left out"
        unit["timelines"] = [timeline.to_json() for timeline in timelines]
        unit["moments"] = [(score, moment_to_json(moment)) for score, moment in moments.moments()]
        unit["input"] = self._input(source_index) | {
            "frames": replay.frames,
            "labelled_frames": replay.labelled_frames,
            "lost": [*source.losses, *([repeated] if replay.repeated else [])],
        }
        return counts

    def _input(self, source_index: int) -> dict[str, Any]:
        source = self._sources[source_index]
        return {
            "name": self._names[source_index],
            "sha256": source.content_hash(),
            "fps": source.fps,
            "truth_label_space": source.label_space.name if source.label_space is not None else None,
            "assumptions": list(source.assumptions),
        }

    def _results(self, merged: Merged, wall_s: float) -> dict[str, Any]:
        nothing = {"frames": 0, "labelled_frames": 0}
        masks = sum(each["masks"] for each in merged.rows)
        return {
            "schema": SCHEMA,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": list(self._options.command),
            "versions": versions(),
            "machine": machine(self._shards.count, self._options.threads),
            "inputs": [
                merged.inputs.get(i) or self._input(i) | nothing | {"lost": [merged.failed[i]]}
                for i in range(len(self._sources))
            ],
            "models": self._models,
            "settings": self._settings(self._space),
            "rows": merged.rows,
            "robustness": robustness(merged.rows),
            "timelines": merged.timelines,
            "throughput": {"frames_per_s": round(masks / wall_s, 3), "wall_s": round(wall_s, 3)},
        }

    def _settings(self, space: LabelSpace) -> dict[str, Any]:
        return {
            "label_space": space.name,
            "classes": list(space.names),
            "colors": space.palette.tolist(),
            "flow": METHODS[self._options.flow].description,
            "clip_span_s": self._options.clip_span_s,
            "max_gap_s": self._options.max_gap_s,
            "lag_frames": self._options.lag_frames,
        }


def _names(sources: Sequence[Source]) -> list[str]:
    """A name for each recording, unique among them and fit for a file."""
    names: list[str] = []
    for source in sources:
        names.append(unique(source.name.replace("/", "_"), names))
    return names
