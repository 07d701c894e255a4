"""The state of a training run on disk: written atomically, read back exactly, as safetensors and JSON."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from t2g_ros.errors import ModelError

Network = TypeVar("Network", bound=nn.Module)


class WeightAverage(Generic[Network]):
    """Exponential moving average of a network's weights and buffers."""

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.network: Network = deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network`; early steps move faster, so the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


class RunState:
    """Network, average and optimiser of a run, saved together under one step number."""

    def __init__(self, network: nn.Module, average: WeightAverage, optimizer: torch.optim.Optimizer) -> None:
        self.network = network
        self.average = average
        self.optimizer = optimizer

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.network.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(v) for name, v in values.items()}
        return {k: v.detach().contiguous().clone() for k, v in tensors.items()}

    def save(self, path: Path, step: int, record: dict[str, str]) -> None:
        """Write the state after `step` steps; a kill at any moment leaves the old file or the new one."""
        partial = path.with_suffix(".part")
        save_file(self._tensors(), partial, metadata={"step": str(step), "record": json.dumps(record)})
        partial.replace(path)

    def load(self, path: Path, record: dict[str, str]) -> int:
        """Restore the state and return its step.

        Raises:
            ModelError: the file is damaged or belongs to a run with another config or other data.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"checkpoint {path}: cannot be read ({error}); delete it to start anew") from error
        theirs = json.loads(metadata["record"])
        changed = sorted(k for k in {*record, *theirs} if record.get(k) != theirs.get(k))
        if changed:
            raise ModelError(
                f"checkpoint {path}: was made with another {' and '.join(changed)}; "
                "use another --out folder, or delete it to start anew"
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        self.average.network.load_state_dict(part("average."))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimizer.").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        return int(metadata["step"])
