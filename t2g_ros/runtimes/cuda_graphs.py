"""What the torch engine does on a CUDA device besides computing: graphs, and copies that do not hold up the host."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

log = logging.getLogger(__name__)

Result = TypeVar("Result")

WARM_UP = 3
"""Runs before the capture, in which kernels are chosen and compiled."""


def captured(function: Callable[[], Result], what: str) -> Callable[[], Result]:
    """Capture a function as a CUDA graph, which is launched at once instead of kernel by kernel.

    Args:
        function: reads and returns tensors that stay where they are; runs on the current device.
        what: what it does, for the log.

    Returns:
        What replays it and returns the tensors of the capture; `function` itself if it cannot be captured, which the
        log then says.
    """
    here = torch.cuda.current_stream()
    aside = torch.cuda.Stream()
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            function()
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        # What runs beside this stream fills the gaps that it leaves; without its priority that would run ahead, and
        # nothing be left for the last gaps. Other threads may use the device meanwhile.
        first = torch.cuda.Stream(priority=-1)
        with torch.cuda.graph(graph, stream=first, capture_error_mode="thread_local"):
            result = function()
    except RuntimeError as error:
        torch.cuda.synchronize()
        log.warning("runtime torch: %s runs without a CUDA graph (%s)", what, str(error).splitlines()[0])
        return function

    def replay() -> Result:
        graph.replay()
        return result

    return replay


class Upload:
    """A tensor on the device that is filled from the host through pinned memory."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self.tensor = torch.zeros(shape, dtype=dtype, device=device)
        self._pinned = torch.zeros(shape, dtype=dtype, pin_memory=True)
        self._host = self._pinned.numpy()
        self._done = torch.cuda.Event()

    def write(self, values: np.ndarray) -> None:
        """Start to copy `values` of the tensor's shape, after all that the current stream has to do."""
        self._done.synchronize()  # the copy before
        np.copyto(self._host, values)
        self.tensor.copy_(self._pinned, non_blocking=True)
        self._done.record()


class Download:
    """Pinned memory into which tensors of the device are read, all of them with one wait."""

    def __init__(self, *tensors: Tensor) -> None:
        self._pinned = [torch.zeros(t.shape, dtype=t.dtype, pin_memory=True) for t in tensors]

    def read(self, *tensors: Tensor) -> list[np.ndarray]:
        """Copy tensors like those of the constructor; the arrays are the caller's."""
        for pinned, tensor in zip(self._pinned, tensors, strict=True):
            pinned.copy_(tensor, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return [pinned.numpy().copy() for pinned in self._pinned]
