"""Kernels of this project's own, each beside what computes the same without it, and which of them run on a device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import torch

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel_or(
    otherwise: Function, load: Callable[[], Any], attempt: Callable[[Any], object], device: torch.device
) -> Function:
    """Return what `load` imports if the device is a GPU and `attempt` can call it there, else `otherwise`,
    which computes the same.

    The log tells why a GPU does without it.
    """
    if device.type != "cuda":
        return otherwise
    try:
        kernel: Function = load()
        with torch.cuda.device(device):
            attempt(kernel)
    except Exception as error:  # Triton and the compiler that it calls raise whatever they like
        why = (str(error) or type(error).__name__).splitlines()[0]
        log.warning("%s computes without a kernel of its own, more slowly (%s)", otherwise.__name__, why)
        return otherwise
    return kernel
