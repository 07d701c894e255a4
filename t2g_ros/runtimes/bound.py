"""What engines have in common that run a graph over arrays which were bound to it once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from t2g_ros.labels import space
from t2g_ros.model.config import ModelConfig
from t2g_ros.runtimes.base import OneByOne
from t2g_ros.runtimes.buffers import Array, ClipBuffers, Cuda, Host
from t2g_ros.runtimes.int8 import floats_of


class BoundRuntime(OneByOne, ABC):
    """See `runtimes.base.Runtime`. The clip buffers are memory that the engine reads and writes in place.

    Args:
        config: of the network.
        precision: of the engine, and of the features, which are f32 in int8.
        cuda: where the arrays are; None for the host.
        reason: why this runtime was chosen.
    """

    name: str

    def __init__(self, config: ModelConfig, precision: str, cuda: Cuda | None, reason: str) -> None:
        self._config = config
        self._cuda = cuda
        self._space: Host | Cuda = cuda or Host()
        self.precision = precision
        self.device = self._cuda.device_name if self._cuda else "cpu"
        self.reason = reason
        self.model_name = config.name
        self.labels = space(config.labels)
        self.input_size = config.input_size
        self.slots = config.slots
        height, width = self.input_size
        zeros = self._space.zeros
        self._rgb = zeros((1, height, width, 3), "u8")
        self._times = {name: zeros((1, self.slots), "f32") for name in ("offsets_s", "valid")}
        self._results = {
            "labels": zeros((1, height // 2, width // 2), "u8"),
            "confidence": zeros((1, height // 4, width // 4), "u8"),
        }
        self._allocate()

    def _allocate(self) -> None:
        """Make the clip buffers, and bind the graphs to them."""
        self._buffers = ClipBuffers(self._config, self._space, floats_of(self.precision))
        self.memory_bytes = self._buffers.bytes
        encode, decode = self._load("encode", "decode")
        self._encode = [self._bound(encode, {"rgb": self._rgb}, self._buffers.outputs(s)) for s in range(self.slots)]
        results = self._results | self._buffers.written_back()
        self._decode = [self._bound(decode, self._inputs(s), results) for s in range(self.slots)]
        self.encode(np.zeros((*self.input_size, 3), np.uint8), 0)  # warm-up: kernels are chosen here
        self.decode(0, np.zeros(self.slots, np.float32), np.ones(self.slots, np.float32))

    def another(self) -> BoundRuntime:
        """See `Runtime.another`. Only what lies in the clip buffers outlasts a call, so the other arrays are shared."""
        other = copy(self)
        other._allocate()
        return other

    @abstractmethod
    def _load(self, *names: str) -> list[Any]:
        """The graphs of these names, ready to run; the same ones at every call."""

    @abstractmethod
    def _bound(self, graph: Any, inputs: dict[str, Array], outputs: dict[str, Array]) -> Callable[[], Any]:
        """What runs a graph over these arrays, which outlive it."""

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
        with self._space.ordered():
            self._buffers.gather_written_back(slot)
        labels, confidence = (self._space.read(array) for array in self._results.values())
        return labels[0], confidence[0]

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """See `Runtime.decode_scores`."""
        graph, scores = self._scores
        self._set_times(offsets_s, valid)
        self._bound(graph, self._inputs(slot), {"scores": scores})()
        return self._space.read(scores)[0]

    @cached_property
    def _scores(self) -> tuple[Any, Array]:
        (graph,) = self._load("scores")
        height, width = self.input_size
        return graph, self._space.zeros((1, len(self.labels), height // 4, width // 4), "f32")

    def _set_times(self, offsets_s: np.ndarray, valid: np.ndarray) -> None:
        for array, values in zip(self._times.values(), (offsets_s, valid), strict=True):
            self._space.write(array, values[None])

    def _inputs(self, slot: int) -> dict[str, Array]:
        return self._buffers.frame(slot) | self._buffers.memory() | self._times
