"""The clip buffers, in the memory of the host or of a CUDA device, for engines that read and write them in place."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.features import feature_shapes, frame_names, memory_names, written_back_names
from t2g_ros.runtimes.base import SLOT_AXIS, buffer_shape

Array = Any
"""`numpy.ndarray` on the host, `torch.Tensor` on a CUDA device: what is done with them here both spell alike."""


class Space(Protocol):
    """A memory in which arrays lie. Element types are `f32`, `f16`, `bf16` and `u8`."""

    def zeros(self, shape: tuple[int, ...], element: str) -> Array:
        """Allocate."""

    def write(self, array: Array, values: np.ndarray) -> None:
        """Copy values of the host into an array of the same shape."""

    def read(self, array: Array) -> np.ndarray:
        """Copy an array to the host; the copy is the caller's."""

    def address(self, array: Array) -> int:
        """Where it begins."""

    def ordered(self) -> AbstractContextManager[Any]:
        """A context in which arrays are copied after all that was started before."""


class Host:
    """NumPy arrays."""

    # NumPy knows no bf16.
    TYPES = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16, "u8": np.uint8}  # noqa: RUF012

    def zeros(self, shape: tuple[int, ...], element: str) -> np.ndarray:
        """See `Space.zeros`."""
        return np.zeros(shape, self.TYPES[element])

    def write(self, array: np.ndarray, values: np.ndarray) -> None:
        """See `Space.write`."""
        array[...] = values

    def read(self, array: np.ndarray) -> np.ndarray:
        """See `Space.read`."""
        return array.copy()

    def address(self, array: np.ndarray) -> int:
        """See `Space.address`."""
        return array.ctypes.data

    def ordered(self) -> AbstractContextManager[Any]:
        """See `Space.ordered`."""
        return nullcontext()


class Cuda:
    """Tensors of torch on a CUDA device, and the stream on which they are written and read in order.

    Args:
        device: `cuda` or `cuda:N`.
        engine: which engine asks, for the error.

    Raises:
        RuntimeUnavailable: torch finds no such device.
    """

    def __init__(self, device: str, engine: str) -> None:
        import torch

        count = torch.cuda.device_count()
        self.index = int(device.partition(":")[2] or 0)
        if self.index >= count:
            raise RuntimeUnavailable(
                f"runtime {engine}: device '{device}': torch {torch.__version__}, which holds the memory, finds "
                f"{count} CUDA device(s); install a CUDA build of torch, or use device cpu"
            )
        self._torch = torch
        self._device = torch.device("cuda", self.index)
        self.stream = torch.cuda.Stream(self._device)
        self.device_name = torch.cuda.get_device_name(self._device)
        self.capability = torch.cuda.get_device_capability(self._device)
        types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "u8": torch.uint8}
        self._types = types

    def zeros(self, shape: tuple[int, ...], element: str) -> Array:
        """See `Space.zeros`."""
        array = self._torch.zeros(shape, dtype=self._types[element], device=self._device)
        self._torch.cuda.synchronize(self._device)
        return array

    def write(self, array: Array, values: np.ndarray) -> None:
        """See `Space.write`."""
        with self._torch.cuda.stream(self.stream):
            array.copy_(self._torch.from_numpy(np.ascontiguousarray(values)).reshape(array.shape))

    def read(self, array: Array) -> np.ndarray:
        """See `Space.read`; waits until all before it on the stream is done."""
        with self._torch.cuda.stream(self.stream):
            return array.cpu().numpy()

    def address(self, array: Array) -> int:
        """See `Space.address`."""
        return array.data_ptr()

    def current(self) -> AbstractContextManager[Any]:
        """A context in which this is the device that CUDA uses."""
        return self._torch.cuda.device(self._device)

    def ordered(self) -> AbstractContextManager[Any]:
        """See `Space.ordered`."""
        return self._torch.cuda.stream(self.stream)

    @property
    def held_bytes(self) -> int:
        """Bytes in use on the device, by whatever process: an engine's own do not pass through torch."""
        free, total = self._torch.cuda.mem_get_info(self._device)
        return total - free


class ClipBuffers:
    """The features of `slots` frames.

    Args:
        config: of the network.
        space: where they lie.
        element: type of the numbers, which is what the engine computes in: half of the memory to go through in bf16.
    """

    def __init__(self, config: ModelConfig, space: Space, element: str) -> None:
        shapes = feature_shapes(config)
        self._config = config
        self._arrays = {
            name: space.zeros(buffer_shape(name, shape, config.slots), element) for name, shape in shapes.items()
        }
        # A slot is an array of its own only where it is in one piece; the others are encoded beside it and copied.
        self._apart = {name: space.zeros((1, *shapes[name]), element) for name in shapes if name in SLOT_AXIS}
        self._written_back = written_back_names(config)
        self.bytes = sum(array.nbytes for array in [*self._arrays.values(), *self._apart.values()])

    def outputs(self, slot: int) -> dict[str, Array]:
        """What `encode` writes of a frame; `gather` comes after it."""
        apart = self._apart
        return {n: apart[n] if n in apart else array[:, slot] for n, array in self._arrays.items()}

    def frame(self, slot: int) -> dict[str, Array]:
        """What `decode` reads of the segmented frame alone."""
        return {name: self._arrays[name][:, slot] for name in frame_names(self._config)}

    def memory(self) -> dict[str, Array]:
        """What `decode` reads of all frames."""
        return {name: self._arrays[name] for name in memory_names(self._config)}

    def written_back(self) -> dict[str, Array]:
        """What `decode` writes of the segmented frame; `gather_written_back` comes after it."""
        return {output: self._apart[name] for output, name in self._written_back.items()}

    def gather(self, slot: int) -> None:
        """Put what was encoded beside the buffers into its slot."""
        self._gather(self._apart, slot)

    def gather_written_back(self, slot: int) -> None:
        """Put what was written back beside the buffers into the segmented frame's slot."""
        self._gather(self._written_back.values(), slot)

    def _gather(self, names: Iterable[str], slot: int) -> None:
        for name in names:
            self._arrays[name][(slice(None),) * SLOT_AXIS[name] + (slot,)] = self._apart[name]


GPU_NODES = ("nvidia[0-9]*", "nvhost-gpu", "nvgpu", "dxg")
"""In /dev on a desktop, of which a container may have any; on Jetsons; in WSL 2."""


def has_cuda() -> bool:
    """Whether torch finds a CUDA device."""
    # torch takes seconds to import, so it is only asked where there is a device node of a GPU.
    if not any(any(Path("/dev").glob(node)) for node in GPU_NODES):
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
