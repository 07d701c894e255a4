"""The evaluation of models on recordings under conditions, shared among processes, and what it leaves in a folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from t2g_ros.errors import InputError
from t2g_ros.evaluation.metrics.flow import METHODS
from t2g_ros.evaluation.outputs.mask_bag import MaskBagWriter
from t2g_ros.evaluation.outputs.moments import WorstMoments, moment_from_json, moment_to_json
from t2g_ros.evaluation.outputs.overlay_video import OverlayVideo
from t2g_ros.evaluation.outputs.showing import Showing
from t2g_ros.evaluation.outputs.timeline import Timeline
from t2g_ros.evaluation.replay.conditions import Condition
from t2g_ros.evaluation.replay.counts import Counts
from t2g_ros.evaluation.replay.loop import Observer, Replay, Run
from t2g_ros.evaluation.report import Moment, write_report
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
UNKNOWN_RATE_HZ = 10.0
"""Pictures per second of the overlay video of a recording that does not say its own."""


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

    def run(self) -> dict[str, Any] | None:
        """Evaluate, write the results, and return what is in metrics.json; None on processes that do not lead."""
        start = time.perf_counter()
        units = [(s, c) for s in range(len(self._sources)) for c in range(len(self._options.conditions))]
        mine = units[self._shards.rank :: self._shards.count]
        progress = tqdm(mine, desc="evaluate", unit="replay", disable=None)
        done = [self._unit(source, condition) for source, condition in progress]
        gathered = self._shards.gather(done)
        if not self._shards.leads:
            return None
        # In the order of one process, so that sums of floats are the same to the last bit.
        by_unit = {(unit["source"], unit["condition"]): unit for part in gathered for unit in part}
        results, moments = self._merge([by_unit[unit] for unit in units], time.perf_counter() - start)
        text = json.dumps(results, indent=1, allow_nan=False)
        (self._options.out / "metrics.json").write_text(text + "\n", encoding="utf-8")
        write_report(results, moments, self._options.out / "report.html")
        return results

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

    def _unit(self, source_index: int, condition_index: int) -> dict[str, Any]:
        """Replay one recording under one condition; returns plain values."""
        source, condition = self._sources[source_index], self._options.conditions[condition_index]
        replay = Replay(self._runs, self._space, METHODS[self._options.flow])
        unit: dict[str, Any] = {"source": source_index, "condition": condition_index}
        counts = replay(source, condition) if condition_index else self._headline(replay, source_index, unit)
        return unit | {"counts": [each.to_json() for each in counts]}

    def _headline(self, replay: Replay, source_index: int, unit: dict[str, Any]) -> list[Counts]:
        """Replay the recording as it is, with all that is shown frame by frame."""
        source, name, condition = self._sources[source_index], self._names[source_index], self._options.conditions[0]
        timelines = [
            Timeline(input=name, model=run.model, mode=run.mode, condition=condition.name) for run in self._runs
        ]
        first = self._runs[0]
        moments = WorstMoments(name, first.labels, self._space)
        with ExitStack() as files:
            video = bag = None
            if self._options.overlay:
                path = self._of_input(self._options.out / "overlay.mp4", name)
                video = files.enter_context(OverlayVideo(path, first.labels, source.fps or UNKNOWN_RATE_HZ))
            if self._options.masks_bag is not None:
                bag = files.enter_context(
                    MaskBagWriter(self._of_input(self._options.masks_bag, name), source.camera, space=first.labels)
                )
            watched: list[list[Observer]] = [[timeline] for timeline in timelines]
            watched[0].append(Showing(moments, video, bag))
            counts = replay(source, condition, watched)
        if not counts[0].masks:
            raise InputError(f"{source.path}: holds no frame; {'; '.join(replay.losses)}")
        unit["timelines"] = [timeline.to_json() for timeline in timelines]
        unit["moments"] = [moment_to_json(moment) for moment in moments.moments()]
        unit["input"] = {
            "name": name,
            "sha256": source.content_hash(),
            "frames": counts[0].masks,
            "labelled_frames": counts[0].reference_frames,
            "fps": source.fps,
            "truth_label_space": source.label_space.name if source.label_space is not None else None,
            "lost": list(dict.fromkeys([*source.losses, *replay.losses])),
            "assumptions": list(source.assumptions),
        }
        return counts

    def _of_input(self, path: Path, name: str) -> Path:
        """The path itself for one recording, else one with its name in it."""
        return path if len(self._sources) == 1 else path.with_name(f"{path.stem}_{name}{path.suffix}")

    def _merge(self, units: list[dict[str, Any]], wall_s: float) -> tuple[dict[str, Any], list[Moment]]:
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
        shown = [unit for unit in units if "input" in unit]
        moments = [moment_from_json(values) for unit in shown for values in unit["moments"]]
        masks = sum(each["masks"] for each in rows)
        results = {
            "schema": SCHEMA,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": list(self._options.command),
            "versions": versions(),
            "machine": machine(),
            "inputs": [unit["input"] for unit in shown],
            "models": self._models,
            "settings": self._settings(self._space),
            "rows": rows,
            "timelines": [timeline for unit in shown for timeline in unit["timelines"]],
            "throughput": {"frames_per_s": round(masks / wall_s, 3), "wall_s": round(wall_s, 3)},
        }
        return results, moments

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


def prepare(out: Path, masks_bag: Path | None) -> None:
    """Make the output folder and remove what an earlier evaluation left in it, nothing else.

    Raises:
        InputError: the masks bag exists; a bag is never overwritten.
        OSError: the folder cannot be written.
    """
    if masks_bag is not None and masks_bag.exists():
        raise InputError(f"masks bag {masks_bag}: exists already; choose another name or remove it")
    out.mkdir(parents=True, exist_ok=True)
    for path in (out / "metrics.json", out / "report.html", *out.glob("overlay*.mp4")):
        path.unlink(missing_ok=True)


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
