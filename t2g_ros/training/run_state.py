"""The state of a training run on disk: written atomically, read back exactly, as safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from t2g_ros.errors import ModelError
from t2g_ros.training.files import replacing

Network = TypeVar("Network", bound=nn.Module)


def trained_state(network: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers that training changes: all but frozen parameters, which stay what they were loaded as."""
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in network.state_dict().items() if name not in frozen}


def frozen_hash(network: nn.Module) -> str:
    """SHA-256 over the frozen parameters, "" without any: a run goes on only with the weights that it began with."""
    frozen = [(n, p) for n, p in network.named_parameters() if not p.requires_grad]
    digest = hashlib.sha256()
    for name, parameter in frozen:
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest() if frozen else ""


class WeightAverage(Generic[Network]):
    """Exponential moving average of a network's weights and buffers; frozen weights are shared, not copied."""

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.trained = list(trained_state(network))
        shared = {id(p): p for p in network.parameters() if not p.requires_grad}
        self.network: Network = deepcopy(network, shared).eval().requires_grad_(False)

    def state(self) -> dict[str, Tensor]:
        """As `trained_state` of the network that is averaged."""
        state = self.network.state_dict()
        return {name: state[name] for name in self.trained}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network`; early steps move faster, so the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        values, means = network.state_dict(), self.state()
        moved = [name for name, mean in means.items() if mean.dtype.is_floating_point]
        # All at once, as torch.optim.swa_utils does.
        torch._foreach_lerp_([means[name] for name in moved], [values[name] for name in moved], 1 - decay)
        for name in means.keys() - set(moved):
            means[name].copy_(values[name])


class RunState:
    """Network, average and optimiser of a run, saved together under one step number."""

    def __init__(self, network: nn.Module, average: WeightAverage, optimizer: torch.optim.Optimizer) -> None:
        self.network = network
        self.average = average
        self.optimizer = optimizer

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"network.{k}": v for k, v in trained_state(self.network).items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(v) for name, v in values.items()}
        return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}

    def save(self, path: Path, step: int, record: dict[str, str], validation: dict[str, Any]) -> None:
        """Write the state after `step` steps; a kill at any moment leaves the old file or the new one.

        Args:
            path: the checkpoint.
            step: steps done.
            record: what the run depends on; `load` wants the same.
            validation: figures so far, plain values.
        """
        metadata = {"step": str(step), "record": json.dumps(record), "validation": json.dumps(validation)}
        with replacing(path) as partial:
            save_file(self._tensors(), partial, metadata=metadata)

    def load(self, path: Path, record: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Restore the state and return its step and the validation's figures.

        Raises:
            ModelError: the file is missing, damaged, or belongs to a run with another config or other data.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
            theirs, step = json.loads(metadata["record"]), int(metadata["step"])
            validation = json.loads(metadata["validation"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"checkpoint {path}: cannot be read ({error}); delete it to start anew") from error
        changed = sorted(k for k in {*record, *theirs} if record.get(k) != theirs.get(k))
        if changed:
            both = ", ".join(f"{k} ({_short(theirs.get(k))} instead of {_short(record.get(k))})" for k in changed)
            raise ModelError(
                f"checkpoint {path}: was made with other {both}; use another --out folder, or delete it to start anew"
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        for network, prefix in ((self.network, "network."), (self.average.network, "average.")):
            if part(prefix).keys() != trained_state(self.network).keys():
                raise ModelError(f"checkpoint {path}: holds other tensors than the network; delete it to start anew")
            network.load_state_dict(network.state_dict() | part(prefix))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimizer.").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        return step, validation


def _short(value: str | None) -> str:
    return "none" if value is None else value if len(value) <= 40 else f"{value[:37]}..."
