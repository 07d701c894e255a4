"""The OpenVINO engine, for CPUs. Once a model is converted and cached, a start needs no torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from copy import copy
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.labels import space
from t2g_ros.model.config import ModelConfig
from t2g_ros.runtimes import int8
from t2g_ros.runtimes.base import OneByOne
from t2g_ros.runtimes.buffers import ClipBuffers, Host
from t2g_ros.runtimes.converted import converted, find_network, network_files

try:
    import openvino as ov
except ImportError as error:
    raise RuntimeUnavailable(
        f"runtime openvino: cannot be imported ({error}); pip install 't2g_ros[openvino]'"
    ) from error

from t2g_ros.runtimes import int8_openvino, openvino_blobs, openvino_types
from t2g_ros.runtimes.openvino_types import set_types

log = logging.getLogger(__name__)

OV_TYPES = {"f32": ov.Type.f32, "bf16": ov.Type.bf16}
PRECISIONS = ("auto", *OV_TYPES, "int8")


@cache
def shared_core() -> ov.Core:
    """OpenVINO itself: one for the process, which is never given up.

    Its CPU plugin gives the thread that loads it a stack for signals, and unmaps that on whichever thread frees it; the
    next signal, such as that of a child's end, would kill the process then.
    """
    return ov.Core()


def fastest_floats(core: ov.Core) -> str:
    """What this CPU computes in natively, and without int8: `bf16` or `f32`."""
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


class OpenVINORuntime(OneByOne):
    """See `runtimes.base.Runtime`. The clip buffers are arrays that the engine reads and writes in place."""

    name = "openvino"
    gpu_memory_bytes = None

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
        if device not in ("auto", "cpu"):
            raise RuntimeUnavailable(f"runtime openvino: device '{device}' is not supported; use cpu, or runtime torch")
        if precision not in PRECISIONS:
            raise RuntimeUnavailable(
                f"runtime openvino: precision '{precision}' is not supported; use {', '.join(PRECISIONS[1:])}"
            )
        weights, config = find_network(model, input_size, clip_frames)
        core = shared_core()
        fastest = fastest_floats(core)
        if precision == "auto":
            precision = fastest
        elif precision == "bf16" != fastest:
            # OpenVINO would accept the hint and silently compute in f32; say so instead.
            log.warning("runtime openvino: this CPU has no native bf16, computing in f32")
            precision = fastest
        self._floats = fastest if precision == "int8" else precision
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": OV_TYPES[self._floats]}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._config = config
        self._compiled = cache(partial(_compiled, core, weights, config, options, precision == "int8"))
        encode, self._decoder = self._compiled("encode", "decode")
        self._encode = encode.create_infer_request()
        self.precision = precision
        self.device = core.get_property("CPU", "FULL_DEVICE_NAME")
        self.reason = reason
        self.model_name = config.name
        self.labels = space(config.labels)
        self.input_size = config.input_size
        self.slots = config.slots
        self._allocate()

    def _allocate(self) -> None:
        """Make the clip buffers, and a request that reads them."""
        self._memory = _Buffers(self._config, self._floats)
        self.memory_bytes = self._memory.arrays.bytes
        self._offsets = np.zeros((1, self.slots), np.float32)
        self._valid = np.ones((1, self.slots), np.float32)
        self._decode = self._decoder.create_infer_request()
        self._scores: ov.InferRequest | None = None
        self._bind_memory(self._decode)
        for index, tensor in enumerate(self._memory.written_back, start=2):
            self._decode.set_output_tensor(index, tensor)
        self.encode(np.zeros((*self.input_size, 3), np.uint8), 0)  # warm-up: kernels are compiled here
        self.decode(0, self._offsets[0], self._valid[0])

    def another(self) -> OpenVINORuntime:
        """See `Runtime.another`."""
        other = copy(self)
        other._allocate()
        return other

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        """See `Runtime.encode`."""
        request = self._encode
        image = np.ascontiguousarray(rgb)[None]  # held until the end, since a tensor does not hold what it shares
        request.set_input_tensor(ov.Tensor(image, shared_memory=True))
        for index, tensor in enumerate(self._memory.outputs[slot]):
            request.set_output_tensor(index, tensor)
        request.infer()
        self._memory.arrays.gather(slot)

    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Runtime.decode`."""
        self._read_memory(self._decode, slot, offsets_s, valid)
        self._memory.arrays.gather_written_back(slot)
        return self._decode.get_output_tensor(0).data[0].copy(), self._decode.get_output_tensor(1).data[0].copy()

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """See `Runtime.decode_scores`."""
        if self._scores is None:
            (scores,) = self._compiled("scores")
            self._scores = scores.create_infer_request()
            self._bind_memory(self._scores)
        self._read_memory(self._scores, slot, offsets_s, valid)
        return self._scores.get_output_tensor(0).data[0].copy()

    def _bind_memory(self, request: ov.InferRequest) -> None:
        """Let a request read the clip buffers and the times in place."""
        times = [ov.Tensor(array, shared_memory=True) for array in (self._offsets, self._valid)]
        for index, tensor in enumerate([*self._memory.inputs, *times], start=len(self._memory.frames[0])):
            request.set_input_tensor(index, tensor)

    def _read_memory(self, request: ov.InferRequest, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> None:
        self._offsets[0], self._valid[0] = offsets_s, valid
        for index, tensor in enumerate(self._memory.frames[slot]):
            request.set_input_tensor(index, tensor)
        request.infer()


class _Buffers:
    """The clip buffers, as tensors that requests write and read in place.

    Args:
        config: of the network.
        floats: type of the features.
    """

    def __init__(self, config: ModelConfig, floats: str) -> None:
        self.arrays = buffers = ClipBuffers(config, Host(), floats)
        element = OV_TYPES[floats]

        def shared(arrays: dict[str, np.ndarray]) -> list[ov.Tensor]:
            return [ov.Tensor(array, ov.Shape(array.shape), element) for array in arrays.values()]

        self.outputs = [shared(buffers.outputs(slot)) for slot in range(config.slots)]
        """Per slot, what `encode` gives."""
        self.frames = [shared(buffers.frame(slot)) for slot in range(config.slots)]
        """Per slot, what `decode` takes of the segmented frame."""
        self.inputs = shared(buffers.memory())
        """What `decode` takes of all frames."""
        self.written_back = shared(buffers.written_back())
        """What `decode` gives of the segmented frame."""


def _compiled(
    core: ov.Core, weights: Path, config: ModelConfig, options: dict[str, Any], in_int8: bool, *names: str
) -> list[ov.CompiledModel]:
    """Compile the graphs of these names, `encode` as it was quantized if asked for."""
    quantized = []
    if in_int8 and "encode" in names:
        int8.found(weights, config, "openvino")
        quantized = int8.parts(weights, config.input_size, "openvino")

    def graphs() -> list[ov.Model]:
        found = dict(zip(names, _graphs(core, weights, config, names), strict=True))
        if quantized:
            found["encode"] = int8_openvino.read(core, weights, config)
        floats = options["INFERENCE_PRECISION_HINT"]
        for name, graph in found.items():
            set_types(floats, name, graph, config)
        return list(found.values())

    code = [Path(__file__), Path(openvino_types.__file__)]
    made_of = [*network_files(weights), *code, *quantized]
    return openvino_blobs.compiled(core, graphs, made_of, f"{config.input_size} {config.slots}", options, names)


def _graphs(core: ov.Core, weights: Path, config: ModelConfig, names: Sequence[str]) -> list[ov.Model]:
    """The graphs of these names."""
    build = partial(write_graphs, weights, config, names)

    def read(folder: Path) -> list[ov.Model]:
        return [core.read_model(folder / f"{name}.xml") for name in names]  # weights stay mapped without the files

    return converted(weights, config, names, ("openvino", ov.get_version()), build, read)


def write_graphs(weights: Path, config: ModelConfig, names: Sequence[str], folder: Path) -> None:
    """Write `<name>.xml` and `<name>.bin` for graphs of `graphs.GRAPHS`.

    Raises:
        ModelError: the weights cannot be loaded.
    """
    for name, graph in zip(names, _convert(weights, config, names), strict=True):
        # f32 on disk: rounding the weights to f16 would make masks differ from torch's.
        ov.save_model(graph, folder / f"{name}.xml", compress_to_fp16=False)


def _convert(weights: Path, config: ModelConfig, names: Sequence[str]) -> list[ov.Model]:
    import torch

    from t2g_ros.model.checkpoint import load_model
    from t2g_ros.runtimes.graphs import GRAPHS, example_inputs

    network = load_model(weights)
    network.config = config
    graphs = []
    with torch.no_grad(), warnings.catch_warnings():
        # That sizes become constants is what is wanted: a graph is of one size.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        for name in names:
            example = example_inputs(network, name)
            shapes = [tuple(tensor.shape) for tensor in example]
            # Traced here, because OpenVINO would let torch trace a second time to compare: half of the whole time.
            traced = torch.jit.trace(GRAPHS[name](network).eval(), example, check_trace=False)
            graphs.append(ov.convert_model(traced, example_input=example, input=shapes))
    return graphs
