"""The ONNX Runtime engine: CPU, CUDA, and TensorRT as its provider. Once a model is converted, a CPU needs no torch."""

from __future__ import annotations

import os
import re
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from t2g_ros import __version__
from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.labels import space
from t2g_ros.model.config import ModelConfig
from t2g_ros.runtimes import cache
from t2g_ros.runtimes.buffers import Array, ClipBuffers, Cuda, Host, has_cuda
from t2g_ros.runtimes.converted import converted, find_network

try:
    import onnxruntime as ort
except ImportError as error:
    raise RuntimeUnavailable(f"runtime onnx: cannot be imported ({error}); pip install 't2g_ros[onnx]'") from error

TYPES = {"f32": np.float32, "f16": np.float16}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class OnnxRuntime:
    """See `runtimes.base.Runtime`. The clip buffers are memory that the engine reads and writes in place.

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
        threads: int,
        reason: str,
    ) -> None:
        kind, index = _pick_device(device)
        precision = _pick_precision(precision, kind)
        weights, config = find_network(model, input_size)
        self._cuda = None if kind == "cpu" else Cuda(f"cuda:{index}", "onnx")
        self._space: Host | Cuda = self._cuda or Host()
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        providers = _providers(kind, index, self._cuda)
        self._sessions = partial(_sessions, weights, config, precision, options, providers)

        self.precision = precision
        self.device = self._cuda.device_name if self._cuda else "cpu"
        self.reason = reason
        self.model_name = config.name
        self.labels = space(config.labels)
        self.input_size = config.input_size
        self.slots = config.slots
        self._config = config
        self._buffers = ClipBuffers(config, self._space, precision)
        self.memory_bytes = self._buffers.bytes
        height, width = self.input_size
        zeros = self._space.zeros
        self._rgb = zeros((1, height, width, 3), "u8")
        self._times = {name: zeros((1, self.slots), "f32") for name in ("offsets_s", "valid")}
        self._results = {
            "labels": zeros((1, height // 2, width // 2), "u8"),
            "confidence": zeros((1, height // 4, width // 4), "u8"),
        }
        encode, decode = self._sessions("encode", "decode")
        _check_provider(encode, PROVIDERS[kind])
        self._encode = [self._bound(encode, {"rgb": self._rgb}, self._buffers.outputs(s)) for s in range(self.slots)]
        self._decode = [self._bound(decode, self._inputs(s), self._results) for s in range(self.slots)]
        self.encode(np.zeros((height, width, 3), np.uint8), 0)  # warm-up: kernels are chosen here
        self.decode(0, np.zeros(self.slots, np.float32), np.ones(self.slots, np.float32))

    @property
    def gpu_memory_bytes(self) -> int | None:
        """See `Runtime.gpu_memory_bytes`."""
        return self._cuda.held_bytes if self._cuda else None

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        """See `Runtime.encode`."""
        self._space.write(self._rgb, rgb[None])
        self._encode[slot]()
        with self._space.ordered():
            self._buffers.gather(slot)

    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Runtime.decode`."""
        self._set_times(offsets_s, valid)
        self._decode[slot]()
        labels, confidence = (self._space.read(array) for array in self._results.values())
        return labels[0], confidence[0]

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """See `Runtime.decode_scores`."""
        session, scores = self._scores
        self._set_times(offsets_s, valid)
        self._bound(session, self._inputs(slot), {"scores": scores})()
        return self._space.read(scores)[0]

    @cached_property
    def _scores(self) -> tuple[ort.InferenceSession, Array]:
        (session,) = self._sessions("scores")
        height, width = self.input_size
        return session, self._space.zeros((1, len(self.labels), height // 4, width // 4), "f32")

    def _set_times(self, offsets_s: np.ndarray, valid: np.ndarray) -> None:
        for array, values in zip(self._times.values(), (offsets_s, valid), strict=True):
            self._space.write(array, values[None])

    def _inputs(self, slot: int) -> dict[str, Array]:
        return self._buffers.frame(slot) | self._buffers.memory() | self._times

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
    if precision not in TYPES:
        raise RuntimeUnavailable(
            f"runtime onnx: precision '{precision}' is not supported; use f32, f16 on a CUDA device, or another runtime"
        )
    if precision == "f16" and kind == "cpu":
        # It would accept the graph and silently compute most of it in f32.
        raise RuntimeUnavailable("runtime onnx: precision f16 needs a CUDA device; use f32 on a CPU")
    return precision


def _providers(kind: str, index: int, cuda: Cuda | None) -> list[Any]:
    """Execution providers with their options, the best first."""
    if cuda is None:
        return [PROVIDERS["cpu"]]
    # On the buffers' own stream, so that copies and inferences keep their order. TF32 would not be f32.
    shared = {"device_id": index, "user_compute_stream": str(cuda.stream.cuda_stream)}
    providers: list[Any] = [(PROVIDERS["cuda"], shared | {"use_tf32": 0})]
    if kind == "tensorrt":
        folder = str(cache.cache_dir() / f"onnxruntime-tensorrt-{ort.__version__}")
        cached = {"trt_engine_cache_enable": True, "trt_engine_cache_path": folder, "trt_timing_cache_enable": True}
        providers.insert(0, (PROVIDERS["tensorrt"], shared | cached | {"trt_timing_cache_path": folder}))
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
    def build(folder: Path) -> None:
        from t2g_ros.runtimes.onnx_graphs import write_graphs

        write_graphs(weights, config, names, folder, precision)

    def read(folder: Path) -> list[ort.InferenceSession]:
        return [ort.InferenceSession(folder / f"{name}.onnx", options, providers=providers) for name in names]

    return converted(weights, config, names, ("onnx", __version__, precision), build, read)
