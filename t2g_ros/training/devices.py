"""Where a run computes: one device, or under torchrun one per process; and in which precision."""

from __future__ import annotations

import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from t2g_ros.cores import cores
from t2g_ros.training.config import ConfigError, TrainConfig

BF16_CPUS = ("amx_bf16", "avx512_bf16")
"""Names, in torch.cpu.get_capabilities(), of instructions that multiply bf16; without them bf16 is slower than f32."""


def start_fabric(config: TrainConfig) -> Fabric:
    """Set up threads, device, precision and, under torchrun, the group of processes (DDP over NCCL or gloo).

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch finds no GPU; use auto or cpu")
    _set_threads(config)
    cuda = config.device != "cpu" and torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    processes = int(os.environ.get("WORLD_SIZE", 1))
    # A loss of weight 0 may leave parameters without a gradient, which DDP would wait for otherwise.
    ddp = DDPStrategy(find_unused_parameters=True)
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=local,
        num_nodes=processes // local,
        strategy=ddp if processes > 1 else "auto",
        precision="bf16-mixed" if _wants_bf16(config.precision, cuda) else "32-true",
    )
    fabric.launch()
    if cuda:
        torch.backends.cudnn.benchmark = True  # shapes never change
    return fabric


def _set_threads(config: TrainConfig) -> None:
    """Leave the workers their cores: threads that wait for one which has none spin, and a step took twice as long."""
    if config.threads:
        torch.set_num_threads(config.threads)
    elif "OMP_NUM_THREADS" not in os.environ:  # torchrun sets it, too
        torch.set_num_threads(max(cores() - config.workers, 1))


def _wants_bf16(precision: str, cuda: bool) -> bool:
    return precision == "bf16" or (precision == "auto" and multiplies_bf16(cuda))


def multiplies_bf16(cuda: bool) -> bool:
    """Whether the hardware has bf16 matrix units."""
    if cuda:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in BF16_CPUS)
