"""The ONNX Runtime engine: CPU, CUDA, and TensorRT as its provider. Once a model is converted, a CPU needs no torch."""

from __future__ import annotations

import re
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from t2g_ros.cores import cores
from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.model.config import ModelConfig
from t2g_ros.runtimes.bound import BoundRuntime
from t2g_ros.runtimes.buffers import Array, Cuda, has_cuda
from t2g_ros.runtimes.cache import cache_dir
from t2g_ros.runtimes.converted import find_network, onnx_graphs

try:
    import onnxruntime as ort
except ImportError as error:
    raise RuntimeUnavailable(f"runtime onnx: cannot be imported ({error}); pip install 't2g_ros[onnx]'") from error

TYPES = {"f32": np.float32, "f16": np.float16}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class OnnxRuntime(BoundRuntime):
    """See `runtimes.base.Runtime`.

    Its devices are `auto`, `cpu`, `cuda` or `cuda:N`, and `tensorrt` or `tensorrt:N`, which is the same hardware with
    the subgraphs that TensorRT takes compiled by it.
    """

    name = "onnx"

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
        kind, index = _pick_device(device)
        precision = _pick_precision(precision, kind)
        weights, config = find_network(model, input_size, clip_frames)
        cuda = None if kind == "cpu" else Cuda(f"cuda:{index}", "onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or cores()
        providers = _providers(kind, index, cuda, precision)
        self._sessions = cache(partial(_sessions, weights, config, precision, options, providers))
        self._provider = PROVIDERS[kind]
        super().__init__(config, precision, cuda, reason)

    def _load(self, *names: str) -> list[ort.InferenceSession]:
        sessions = self._sessions(*names)
        for session in sessions:
            _check_provider(session, self._provider)
        return sessions

    def _bound(self, session: ort.InferenceSession, inputs: dict[str, Array], outputs: dict[str, Array]) -> Any:
        """What runs a session over these arrays, which must outlive it."""
        binding = session.io_binding()
        where = ("cuda", self._cuda.index) if self._cuda else ("cpu", 0)
        for bind, nodes, arrays in (
            (binding.bind_input, session.get_inputs(), inputs),
            (binding.bind_output, session.get_outputs(), outputs),
        ):
            for node in nodes:
                array = arrays[node.name]
                element = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}.get(node.type, np.float16)
                bind(node.name, *where, element, tuple(array.shape), self._space.address(array))
        return partial(session.run_with_iobinding, binding)


def _pick_device(device: str) -> tuple[str, int]:
    """The key in `PROVIDERS`, and which of several devices."""
    if device == "auto":
        device = "cuda" if PROVIDERS["cuda"] in ort.get_available_providers() and has_cuda() else "cpu"
    if not re.fullmatch(r"cpu|(cuda|tensorrt)(:\d+)?", device):
        raise RuntimeUnavailable(
            f"runtime onnx: device '{device}': expected auto, cpu, cuda or cuda:N, tensorrt or tensorrt:N"
        )
    kind, _, index = device.partition(":")
    if PROVIDERS[kind] not in ort.get_available_providers():
        raise RuntimeUnavailable(
            f"runtime onnx: device '{device}': onnxruntime {ort.__version__} comes without {PROVIDERS[kind]}; "
            "pip install onnxruntime-gpu in its place, or use cpu"
        )
    return kind, int(index or 0)


def _pick_precision(precision: str, kind: str) -> str:
    if precision == "auto":
        return "f32" if kind == "cpu" else "f16"
    if precision not in (*TYPES, "int8"):
        raise RuntimeUnavailable(
            f"runtime onnx: precision '{precision}' is not supported; use f32, int8, f16 on a CUDA device, or another "
            "runtime"
        )
    if precision == "int8" and kind == "cuda":
        # It would compute what is quantized in f32.
        raise RuntimeUnavailable("runtime onnx: precision int8 needs device tensorrt or cpu; use f16 on a CUDA device")
    if precision == "f16" and kind == "cpu":
        # It would accept the graph and silently compute most of it in f32.
        raise RuntimeUnavailable("runtime onnx: precision f16 needs a CUDA device; use f32 on a CPU")
    return precision


def _providers(kind: str, index: int, cuda: Cuda | None, precision: str) -> list[Any]:
    """Execution providers with their options, the best first."""
    if cuda is None:
        return [PROVIDERS["cpu"]]
    # On the buffers' own stream, so that copies and inferences keep their order. TF32 would not be f32.
    shared = {"device_id": index, "user_compute_stream": str(cuda.stream.cuda_stream)}
    providers: list[Any] = [(PROVIDERS["cuda"], shared | {"use_tf32": 0})]
    if kind == "tensorrt":
        folder = str(cache_dir() / f"onnxruntime-tensorrt-{ort.__version__}")
        cached = {"trt_engine_cache_enable": True, "trt_engine_cache_path": folder, "trt_timing_cache_enable": True}
        # It takes no graph whose types are f16 or int8 unless that is allowed.
        allowed = {"trt_fp16_enable": precision == "f16", "trt_int8_enable": precision == "int8"}
        more = {"trt_timing_cache_path": folder, **allowed}
        providers.insert(0, (PROVIDERS["tensorrt"], shared | cached | more))
    return [*providers, PROVIDERS["cpu"]]


def _check_provider(session: ort.InferenceSession, provider: str) -> None:
    # ONNX Runtime goes on without a provider whose libraries it does not find.
    found = session.get_providers()
    if provider not in found:
        raise RuntimeUnavailable(
            f"runtime onnx: {provider} cannot be used here, only {', '.join(found)}; its libraries (CUDA, cuDNN, "
            f"TensorRT) must be those that onnxruntime {ort.__version__} was built for"
        )


def _sessions(
    weights: Path, config: ModelConfig, precision: str, options: ort.SessionOptions, providers: list[Any], *names: str
) -> list[ort.InferenceSession]:
    def read(graph: Path) -> ort.InferenceSession:
        return ort.InferenceSession(graph, options, providers=providers)

    return onnx_graphs(weights, config, names, precision, read)
