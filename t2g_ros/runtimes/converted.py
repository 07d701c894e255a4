"""Graphs that are converted for an engine once, and read from the cache after that, which needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from t2g_ros.model.config import ModelConfig
from t2g_ros.model.shipped import resolve_model
from t2g_ros.runtimes import cache, int8_onnx
from t2g_ros.runtimes.int8 import floats_of

Read = TypeVar("Read")


def find_network(
    model: str | Path, input_size: tuple[int, int] | None, clip_frames: int | None = None
) -> tuple[Path, ModelConfig]:
    """The weights file of a model, and its config at this input size and clip length; None takes its own.

    Raises:
        ModelError: there is no such model, its config cannot be read, or it does not allow this.
    """
    weights = resolve_model(model)
    return weights, ModelConfig.load(weights.with_suffix(".yaml")).resized(input_size, clip_frames)


def network_files(weights: Path) -> list[Path]:
    """The files that the graphs of a network depend on.

    The network's own code is among them, or whoever changes it would keep running the graphs of the old one.
    """
    package = Path(__file__).resolve().parents[1]
    code = [
        *sorted((package / "model").rglob("*.py")),
        package / "runtimes" / "graphs.py",
        package / "runtimes" / "onnx_graphs.py",
    ]
    return [weights, weights.with_suffix(".yaml"), *code]


def converted(
    weights: Path,
    config: ModelConfig,
    names: Sequence[str],
    facts: Sequence[str],
    build: Callable[[Path], None],
    read: Callable[[Path], Read],
) -> Read:
    """What `read(folder)` returns of the graphs, which `build(folder)` converts into the cache first if need be.

    Also at the first start they are read back from disk: a graph that was just converted may round a little
    differently from the same graph saved and read, and the masks of two starts must be equal bit for bit.

    Args:
        weights: of the network, its config beside it.
        config: with the input size and the clip length.
        names: of the graphs.
        facts: whatever else they depend on, such as the engine and its version.
        build: RuntimeErrors of it are taken for a disk that is full.
        read: must hold what it reads: without a cache the folder goes after it.
    """
    key = cache.content_key(network_files(weights), *facts, f"{config.input_size} {config.slots}", *names)
    try:
        folder = cache.cached_folder(key, build)
    except RuntimeError as error:  # an engine's own writer, on a full disk
        cache.tell_once(f"model cache {cache.cache_dir()}: cannot be written ({error})")
        folder = None
    if folder is not None:
        return read(folder)
    cache.tell_once(f"model cache {cache.cache_dir()}: not writable; the model is converted at every start")
    with TemporaryDirectory(prefix="t2g_ros-") as scratch:
        build(Path(scratch))
        cache.not_kept(sum(file.stat().st_size for file in Path(scratch).iterdir()))
        return read(Path(scratch))


def onnx_graphs(
    weights: Path, config: ModelConfig, names: Sequence[str], precision: str, read: Callable[[Path], Read]
) -> list[Read]:
    """What `read(file)` returns of each of these graphs as an ONNX file; see `converted`.

    In int8 `encode` is the one that was quantized before, and the others are in f32.

    Raises:
        RuntimeUnavailable: none was quantized of this network at this input size.
    """
    found: dict[str, Read] = {}
    if precision == "int8" and "encode" in names:
        found["encode"] = read(int8_onnx.file_of(weights, config))
    others = [name for name in names if name not in found]
    floats = floats_of(precision)

    def build(folder: Path) -> None:
        from t2g_ros.runtimes.onnx_graphs import write_graphs

        write_graphs(weights, config, others, folder, floats)

    def read_all(folder: Path) -> list[Read]:
        return [read(folder / f"{name}.onnx") for name in others]

    if others:
        found |= zip(others, converted(weights, config, others, ("onnx", floats), build, read_all), strict=True)
    return [found[name] for name in names]
