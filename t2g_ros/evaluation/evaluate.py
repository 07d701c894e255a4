"""The evaluation of models on recordings under conditions, shared among processes, and what it leaves in a folder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from t2g_ros.errors import InputError
from t2g_ros.evaluation.metrics.flow import METHODS
from t2g_ros.evaluation.outputs.folder import OutputFolder
from t2g_ros.evaluation.outputs.moments import SHOWN, WorstMoments, moment_from_json, moment_to_json
from t2g_ros.evaluation.outputs.timeline import Timeline
from t2g_ros.evaluation.replay.conditions import Condition
from t2g_ros.evaluation.replay.counts import Counts
from t2g_ros.evaluation.replay.loop import Observer, Replay, Run
from t2g_ros.evaluation.report import Moment
from t2g_ros.evaluation.report.results import add_drops, machine, row, versions
from t2g_ros.evaluation.report.schema import SCHEMA
from t2g_ros.evaluation.shards import Shards
from t2g_ros.inference.baselines import EmaSegmenter, SingleFrameSegmenter
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.labels import LabelSpace, common_space
from t2g_ros.model.shipped import resolve_model
from t2g_ros.runtimes import Runtime
from t2g_ros.sources import Source

EMA_WEIGHT = 0.5


@dataclass(frozen=True)
class Options:
    """What is evaluated besides recordings and models."""

    conditions: Sequence[Condition]
    """The first one is the headline: it is shown frame by frame."""
    out: Path
    """Folder for metrics.json, report.html and overlay.mp4."""
    baselines: bool = False
    """Also run the network without its memory, alone and with an exponential moving average."""
    classes: str | None = None
    """Label space to judge in; None takes the finest that model and ground truth map to."""
    flow: str = "dis"
    """A key of `flow.METHODS`."""
    clip_span_s: float = 1.0
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
        InputError: the label spaces of models and recordings cannot be compared, or two recordings are one.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        models: Sequence[str],
        load: Callable[[str], Runtime],
        options: Options,
        shards: Shards,
    ) -> None:
        self._sources = sources
        self._names = _names(sources)
        self._options = options
        self._shards = shards
        self._folder = OutputFolder(options.out, self._names, options.overlay, options.masks_bag)
        self._models: list[dict[str, Any]] = []
        self._runs: list[Run] = []
        for model in models:
            self._open(model, load)
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
        results, moments = self._merge([by_unit[unit] for unit in units], time.perf_counter() - start)
        self._folder.write(results, moments)
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

    def _open(self, model: str, load: Callable[[str], Runtime]) -> None:
        """Add the runs of a model; each mode has clip buffers of its own."""
        runtime = load(model)
        asked = self._options
        stream: dict[str, Any] = {
            "clip_span_s": asked.clip_span_s,
            "max_gap_s": asked.max_gap_s,
            "lag": asked.lag_frames,
        }
        modes: dict[str, Callable[[], StreamSegmenter]] = {"memory": partial(StreamSegmenter, runtime, **stream)}
        if asked.baselines:
            modes["single_frame"] = partial(SingleFrameSegmenter, load(model), **stream)
            modes["ema"] = partial(EmaSegmenter, load(model), EMA_WEIGHT, **stream)
        try:
            modes["memory"]()
        except ValueError as error:  # a lag or span that the model's clip does not have
            raise InputError(f"evaluate, {runtime.model_name}: {error}") from error
        name = _unique(runtime.model_name, [m["model"] for m in self._models])
        self._runs += [Run(name, mode, runtime.labels, start) for mode, start in modes.items()]
        self._models.append(
            {
                "model": name,
                "sha256": hashlib.sha256(resolve_model(model).read_bytes()).hexdigest(),
                "runtime": runtime.name,
                "precision": runtime.precision,
                "device": runtime.device,
                "input_size": list(runtime.input_size),
                "slots": runtime.slots,
            }
        )

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
            if not counts[0].masks:
                found = (
                    f"{replay.frames} frames; a lag of {self._options.lag_frames} needs more" if replay.frames else ""
                )
                raise InputError(f"{source.path}: found {found or '; '.join(source.losses) or 'no frame'}")
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

    def _merge(self, units: list[dict[str, Any]], wall_s: float) -> tuple[dict[str, Any], list[Moment]]:
        failed: dict[int, str] = {}
        for unit in units:
            if "failed" in unit:
                failed.setdefault(unit["source"], unit["failed"])
        if len(failed) == len(self._sources):
            raise InputError(next(iter(failed.values())))
        units = [unit for unit in units if unit["source"] not in failed]
        totals = [[Counts(len(self._space)) for _ in self._runs] for _ in self._options.conditions]
        for unit in units:
            for total, values in zip(totals[unit["condition"]], unit["counts"], strict=True):
                total += Counts.from_json(values)
        rows = [
            row(run, condition, total, self._space)
            for condition, of_condition in zip(self._options.conditions, totals, strict=True)
            for run, total in zip(self._runs, of_condition, strict=True)
        ]
        add_drops(rows)
        shown = {unit["source"]: unit for unit in units if "input" in unit}
        inputs = [
            shown[i]["input"]
            if i in shown
            else self._input(i) | {"frames": 0, "labelled_frames": 0, "lost": [failed[i]]}
            for i in range(len(self._sources))
        ]
        moments = sorted((pair for unit in shown.values() for pair in unit["moments"]), key=lambda pair: -pair[0])
        masks = sum(each["masks"] for each in rows)
        results = {
            "schema": SCHEMA,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": list(self._options.command),
            "versions": versions(),
            "machine": machine(self._shards.count, self._options.threads),
            "inputs": inputs,
            "models": self._models,
            "settings": self._settings(self._space),
            "rows": rows,
            "timelines": [timeline for unit in shown.values() for timeline in unit["timelines"]],
            "throughput": {"frames_per_s": round(masks / wall_s, 3), "wall_s": round(wall_s, 3)},
        }
        return results, [moment_from_json(values) for _, values in moments[:SHOWN]]

    def _settings(self, space: LabelSpace) -> dict[str, Any]:
        return {
            "label_space": space.name,
            "classes": list(space.names),
            "colors": space.palette.tolist(),
            "flow": METHODS[self._options.flow].description,
            "clip_span_s": self._options.clip_span_s,
            "max_gap_s": self._options.max_gap_s,
            "lag_frames": self._options.lag_frames,
            "ema_weight": EMA_WEIGHT if self._options.baselines else None,
        }


def _names(sources: Sequence[Source]) -> list[str]:
    """A name for each recording, unique among them and fit for a file."""
    names: list[str] = []
    for source in sources:
        names.append(_unique(source.name.replace("/", "_"), names))
    return names


def _unique(name: str, taken: Sequence[str]) -> str:
    if name not in taken:
        return name
    return next(numbered for i in range(2, len(taken) + 3) if (numbered := f"{name}_{i}") not in taken)
