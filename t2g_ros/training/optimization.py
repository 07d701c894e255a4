"""What of a network learns, the optimiser's parameter groups, and the learning rate over a run."""

from __future__ import annotations

from torch import nn

from t2g_ros.training.config import ConfigError, TrainConfig


def freeze_all_but(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Keep everything but the named parts of a network in training mode as it is, statistics of batch norms included.

    Args:
        network: in training mode.
        parts: names of its modules or parameters; none for all of them.

    Raises:
        ConfigError: the network has no such part.
    """
    own = dict(network.named_children()) | dict(network.named_parameters(recurse=False))
    unknown = sorted(set(parts) - own.keys())
    if unknown:
        raise ConfigError(f"trained is {list(parts)}, expected some of {', '.join(sorted(own))}; not {unknown[0]!r}")
    for name, part in own.items():
        if parts and name not in parts:
            part.requires_grad_(False)
            if isinstance(part, nn.Module):
                part.eval()


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
