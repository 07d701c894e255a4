"""What OpenVINO compiled, kept between starts: a start, and an engine that is loaded again, only import it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import openvino as ov

from t2g_ros.runtimes import cache as model_cache

log = logging.getLogger(__name__)


def compiled(
    core: ov.Core,
    graphs: Callable[[], Sequence[ov.Model]],
    made_of: Sequence[Path],
    shape: str,
    options: dict[str, Any],
    names: Sequence[str],
) -> list[ov.CompiledModel]:
    """Return what compiling the graphs of these names gives, for the CPU.

    Also at the first start it is imported, so that the masks of two starts are of the same engine.

    Args:
        core: OpenVINO.
        graphs: reads or converts them, in the order of the names; not called if they are in the cache.
        made_of: files that the graphs depend on.
        shape: of their inputs.
        options: to compile with.
        names: of the graphs.
    """
    graphs = cache(graphs)

    def compile_all() -> list[ov.CompiledModel]:
        return [core.compile_model(graph, "CPU", options) for graph in graphs()]

    def build(folder: Path) -> None:
        for name, engine in zip(names, compile_all(), strict=True):
            _file(folder, name).write_bytes(engine.export_model().getvalue())

    cpu = [str(core.get_property("CPU", of)) for of in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    cores = len(os.sched_getaffinity(0))  # work is cut into pieces for so many
    facts = ["openvino blobs", ov.get_version(), *cpu, f"{cores} cores", str(options), shape]
    key = model_cache.content_key(list(made_of), *facts, *names)
    folder = model_cache.cached_folder(key, build)
    if folder is None:
        return compile_all()
    try:
        return [core.import_model(_file(folder, name).read_bytes(), "CPU", options) for name in names]
    except (OSError, RuntimeError) as error:
        # Whole, yet this OpenVINO will not have it, or somebody empties the cache at this moment.
        log.warning("model cache %s: cannot be imported (%s); the model is compiled anew", folder, error)
        return compile_all()


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.blob"
