"""What OpenVINO compiled, kept between starts: a start, and an engine that is loaded again, only import it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import openvino as ov

from t2g_ros.cores import cores
from t2g_ros.runtimes import cache
from t2g_ros.runtimes.reloading import is_out_of_memory


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
        graphs: reads or converts them, in the order of the names; not called if what was compiled is in the cache.
        made_of: files that the graphs depend on.
        shape: of their inputs.
        options: to compile with.
        names: of the graphs.

    Raises:
        Exception: what OpenVINO or `graphs` raises.
    """
    made: list[ov.CompiledModel] = []
    size = 1

    def compile_all() -> list[ov.CompiledModel]:
        if not made:
            made[:] = [core.compile_model(graph, "CPU", options) for graph in graphs()]
        return made

    def build(folder: Path) -> None:
        nonlocal size
        blobs = [engine.export_model().getvalue() for engine in compile_all()]
        size = sum(map(len, blobs))
        for name, blob in zip(names, blobs, strict=True):
            _file(folder, name).write_bytes(blob)

    cpu = [str(core.get_property("CPU", of)) for of in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    # Work is cut into pieces for so many cores.
    facts = ["openvino blobs", ov.get_version(), *cpu, f"{cores()} cores", str(options), shape]
    key = cache.content_key([*made_of, Path(__file__)], *facts, *names)
    try:
        folder = cache.cached_folder(key, build)
    except RuntimeError as error:
        if not made:
            raise
        folder = None
        cache.tell_once(f"openvino: what was compiled cannot be kept ({error}); the model is compiled at every start")
    if folder is None:
        cache.not_kept(size)
        return compile_all()
    try:
        return [core.import_model(_file(folder, name).read_bytes(), "CPU", options) for name in names]
    except (OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        # Whole, yet this OpenVINO will not have it, or somebody empties the cache at this moment.
        cache.tell_once(f"model cache {folder}: cannot be imported ({error}); the model is compiled anew")
        rmtree(folder, ignore_errors=True)
        return compile_all()


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.blob"
