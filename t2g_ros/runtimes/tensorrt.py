"""The TensorRT engine, for NVIDIA GPUs, versions 10 and 11. Engines are built once per GPU and version, and cached."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.model.config import ModelConfig
from t2g_ros.runtimes import cache
from t2g_ros.runtimes.bound import BoundRuntime
from t2g_ros.runtimes.buffers import Array, Cuda
from t2g_ros.runtimes.converted import find_network, onnx_graphs
from t2g_ros.runtimes.engine_cache import Progress, Target, Tensor, misfit, real_precision, write_atomically

try:
    import tensorrt as trt
except ImportError as error:
    raise RuntimeUnavailable(
        f"runtime tensorrt: cannot be imported ({error}); pip install 't2g_ros[tensorrt]', or on a Jetson use JetPack's"
    ) from error

log = logging.getLogger(__name__)

PRECISIONS = ("auto", "f32", "f16", "bf16", "int8")
ELEMENTS = {trt.float32: "f32", trt.float16: "f16", trt.bfloat16: "bf16", trt.uint8: "u8"}


class TensorRTRuntime(BoundRuntime):
    """See `runtimes.base.Runtime`. Networks are strongly typed: the precision is that of the graph, nothing else."""

    name = "tensorrt"

    def __init__(
        self,
        model: str | Path,
        *,
        precision: str,
        device: str,
        input_size: tuple[int, int] | None,
        clip_frames: int | None,
        threads: int,
        reason: str,
    ) -> None:
        if not re.fullmatch(r"auto|cuda(:\d+)?", device):
            raise RuntimeUnavailable(f"runtime tensorrt: device '{device}': expected auto, cuda or cuda:N")
        if precision not in PRECISIONS:
            raise RuntimeUnavailable(
                f"runtime tensorrt: precision '{precision}' is not supported; use {', '.join(PRECISIONS[1:])}"
            )
        weights, config = find_network(model, input_size, clip_frames)
        cuda = Cuda("cuda" if device == "auto" else device, "tensorrt")
        precision = real_precision(precision, cuda.capability)
        target = Target(trt.__version__, cuda.device_name, cuda.capability, precision)
        engines = _Engines(config.name, target, cuda)

        def contexts(*names: str) -> list[Any]:
            loaded = onnx_graphs(weights, config, names, precision, engines.of)
            return [_context(engine) for engine in loaded]

        # A context has memory of its own for what lies between its layers, so there is one per graph, for all streams.
        self._contexts = functools.cache(contexts)
        super().__init__(config, precision, cuda, reason)

    def _load(self, *names: str) -> list[Any]:
        return self._contexts(*names)

    def _bound(self, context: Any, inputs: dict[str, Array], outputs: dict[str, Array]) -> Callable[[], Any]:
        assert self._cuda is not None
        arrays = inputs | outputs
        addresses = [(tensor.name, self._space.address(arrays[tensor.name])) for tensor in _tensors(context.engine)]
        stream = self._cuda.stream.cuda_stream

        def run() -> None:
            for name, address in addresses:
                context.set_tensor_address(name, address)
            if not context.execute_async_v3(stream):
                raise RuntimeError("TensorRT could not run the network; its log says why")

        return run


def write_engines(weights: Path, config: ModelConfig, names: Sequence[str], folder: Path, precision: str) -> str:
    """Write `<name>.engine` for graphs of `graphs.GRAPHS`; return the precision in use.

    Raises:
        ModelError: the weights cannot be loaded.
        RuntimeUnavailable: there is no GPU, or TensorRT cannot build them.
    """
    cuda = Cuda("cuda", "tensorrt")
    precision = real_precision(precision, cuda.capability)
    engines = _Engines(config.name, Target(trt.__version__, cuda.device_name, cuda.capability, precision), cuda)
    for name, engine in zip(names, onnx_graphs(weights, config, names, precision, engines.of), strict=True):
        (folder / f"{name}.engine").write_bytes(bytes(engine.serialize()))
    return precision


class _Engines:
    """Engines for a target, from the cache where one fits."""

    def __init__(self, what: str, target: Target, cuda: Cuda) -> None:
        self._what = what
        self._target = target
        self._cuda = cuda
        self._logger = _Log()
        self._runtime = trt.Runtime(self._logger)

    def of(self, graph: Path) -> Any:
        """The engine of an ONNX file."""
        path = cache.cache_dir() / "tensorrt" / f"{graph.stem}-{self._target.key(graph)}.engine"
        with self._cuda.current():
            builder, network = self._parsed(graph)
            if path.is_file():
                engine = self._runtime.deserialize_cuda_engine(_contents(path))
                problem = "TensorRT cannot read it" if engine is None else misfit(_tensors(engine), _tensors(network))
                if problem is None:
                    return engine
                log.warning("engine %s: %s; building it again", path, problem)
            plan = self._build(builder, network, path.with_name("timing.cache"))
            write_atomically(path, plan)
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise RuntimeUnavailable(
                    "runtime tensorrt: the engine that was just built cannot be loaded; TensorRT's log says why"
                )
            return engine

    def _parsed(self, graph: Path) -> tuple[Any, Any]:
        builder = trt.Builder(self._logger)
        # The same flag in both versions; batches are explicit in both without one.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse_from_file(str(graph)):  # which finds weights that lie beside it
            errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
            raise RuntimeUnavailable(
                f"runtime tensorrt: TensorRT {trt.__version__} does not take {graph.stem}: {errors}"
            )
        return builder, network

    def _build(self, builder: Any, network: Any, timing: Path) -> bytes:
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # f32 has to mean f32
        config.progress_monitor = _Monitor(Progress(self._what))
        timings = config.create_timing_cache(_contents(timing))
        # The file may be damaged, or of another GPU or version.
        if timings is None or not config.set_timing_cache(timings, False):
            config.set_timing_cache(config.create_timing_cache(b""), False)
        log.warning("building a TensorRT engine of %s, please wait; this takes minutes, once", self._what)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise RuntimeUnavailable("runtime tensorrt: the engine could not be built; TensorRT's log says why")
        write_atomically(timing, bytes(config.get_timing_cache().serialize()))
        return bytes(plan)


def _context(engine: Any) -> Any:
    context = engine.create_execution_context()
    if context is None:
        raise RuntimeError("TensorRT made no execution context, probably out of memory; its log says why")
    return context


def _contents(file: Path) -> bytes:
    """Nothing of a file that is not there or cannot be read: what it held is made again."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _tensors(of: Any) -> list[Tensor]:
    """Inputs and outputs of an engine or of a network."""
    if hasattr(of, "num_io_tensors"):
        names = [of.get_tensor_name(i) for i in range(of.num_io_tensors)]
        described = [
            (n, of.get_tensor_mode(n) == trt.TensorIOMode.INPUT, of.get_tensor_dtype(n), of.get_tensor_shape(n))
            for n in names
        ]
    else:
        tensors = [(of.get_input(i), True) for i in range(of.num_inputs)]
        tensors += [(of.get_output(i), False) for i in range(of.num_outputs)]
        described = [(t.name, is_input, t.dtype, t.shape) for t, is_input in tensors]
    return [
        Tensor(name, "input" if is_input else "output", ELEMENTS.get(element, str(element)), tuple(shape))
        for name, is_input, element, shape in described
    ]


class _Log(trt.ILogger):
    """TensorRT's log in this package's."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)

    def log(self, severity: Any, msg: str) -> None:
        """Called by TensorRT."""
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            log.error("TensorRT: %s", msg)
        elif severity == trt.ILogger.Severity.WARNING:
            log.warning("TensorRT: %s", msg)


class _Monitor(trt.IProgressMonitor):
    """Brings TensorRT's progress to `Progress`."""

    def __init__(self, progress: Progress) -> None:
        trt.IProgressMonitor.__init__(self)
        self._progress = progress
        self._steps: dict[str, int] = {}

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """Called by TensorRT."""
        self._steps[phase_name] = num_steps

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Called by TensorRT; False would end the build."""
        self._progress.step(phase_name, step, self._steps.get(phase_name, 0))
        return True

    def phase_finish(self, phase_name: str) -> None:
        """Called by TensorRT."""
        self._steps.pop(phase_name, None)
