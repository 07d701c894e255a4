"""The models to evaluate, each in all of its modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from t2g_ros.errors import InputError
from t2g_ros.evaluation.replay.loop import Run
from t2g_ros.flow import Method
from t2g_ros.inference.baselines import EmaSegmenter, FlowEmaSegmenter, SingleFrameSegmenter
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.model.files import sha256
from t2g_ros.model.shipped import resolve_model
from t2g_ros.runtimes import Runtime

EMA_WEIGHT = 0.5
FLOW_EMA_WEIGHTS = 0.5, 0.8
"""Of the past, in averages of class probabilities; the one along flow bears more, since it does not smear."""
Load = Callable[[str], Runtime]


def open_models(
    models: Sequence[str], load: Load, *, baselines: bool, flow: Method, **stream: Any
) -> tuple[list[Run], list[dict[str, Any]]]:
    """Open every model in every mode, each mode in an engine of its own, since it has the clip buffers.

    Args:
        models: shipped names or weights files.
        load: opens a model in an engine.
        baselines: also without memory: alone, and with exponential moving averages in place and along the flow.
        flow: how these follow pixels.
        stream: arguments of `StreamSegmenter`.

    Returns:
        The runs, model by model, and what metrics.json says of each model.

    Raises:
        InputError: a model's clip has no room for the lag or span.
    """
    runs: list[Run] = []
    records: list[dict[str, Any]] = []
    for model in models:
        runtime = load(model)
        modes: dict[str, Callable[[], StreamSegmenter]] = {"memory": partial(StreamSegmenter, runtime, **stream)}
        if baselines:
            modes["single_frame"] = partial(SingleFrameSegmenter, load(model), **stream)
            modes[f"ema_{EMA_WEIGHT}"] = partial(EmaSegmenter, load(model), EMA_WEIGHT, **stream)
            for weight in FLOW_EMA_WEIGHTS:
                modes[f"flow_ema_{weight}"] = partial(FlowEmaSegmenter, load(model), weight, flow, **stream)
        try:
            modes["memory"]()
        except ValueError as error:
            raise InputError(f"evaluate, {runtime.model_name}: {error}") from error
        name = unique(runtime.model_name, [record["model"] for record in records])
        runs += [Run(name, mode, runtime.labels, start) for mode, start in modes.items()]
        records.append(
            {
                "model": name,
                "sha256": sha256(resolve_model(model)).hex(),
                "runtime": runtime.name,
                "precision": runtime.precision,
                "device": runtime.device,
                "input_size": list(runtime.input_size),
                "slots": runtime.slots,
            }
        )
    return runs, records


def unique(name: str, taken: Sequence[str]) -> str:
    """Return the name, with a number after it where it is taken."""
    if name not in taken:
        return name
    return next(numbered for i in range(2, len(taken) + 3) if (numbered := f"{name}_{i}") not in taken)
