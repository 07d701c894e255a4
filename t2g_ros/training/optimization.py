"""The optimiser's parameter groups and the learning rate over a run."""

from __future__ import annotations

from torch import nn

from t2g_ros.training.config import TrainConfig


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict]:
    """AdamW groups: the ImageNet trunk learns slower; norms, biases, queries and scales do not decay.

    Frozen parameters are in none.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        encoder = name.startswith("encoder.trunk.")
        decays = parameter.ndim > 1 and not name.startswith(("queries.", "level"))
        groups.setdefault((encoder, decays), []).append(parameter)
    return [
        {
            "params": params,
            "peak_lr": config.encoder_lr if encoder else config.lr,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (encoder, decays), params in groups.items()
    ]


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then polynomial decay to 0."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return warm * (1.0 - step / config.steps) ** config.power
