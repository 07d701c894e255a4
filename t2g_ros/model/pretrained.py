"""What training takes from the checkpoints of encoders before its first step; deployment needs none of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from t2g_ros.labels import space
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.encoders.load import complete_depth, complete_encoder, load_depth_encoder, load_encoder
from t2g_ros.model.encoders.text import complete_text, encode_classes
from t2g_ros.model.time2general import Time2General


def complete_config(config: ModelConfig, base: Path) -> ModelConfig:
    """Copy into a config what its checkpoints say of themselves, so that it suffices to build the network.

    Args:
        config: names checkpoints or not.
        base: where relative folders start.

    Raises:
        ModelError: a checkpoint cannot be read or is of another kind.
    """
    return replace(
        config,
        encoder=complete_encoder(config.encoder, base),
        depth=None if config.depth is None else complete_depth(config.depth, base),
        text=None if config.text is None else complete_text(config.text, base),
    )


def load_pretrained(network: Time2General, base: Path) -> None:
    """Fill a new network's encoders with their checkpoints' weights, and compute its text features.

    Raises:
        ModelError: a checkpoint cannot be read or does not fit.
    """
    config = network.config
    load_encoder(network.encoder, config.encoder, base)
    if network.depth is not None and config.depth is not None:
        load_depth_encoder(network.depth, config.depth, base)
    if network.text is not None and config.text is not None and config.text.pretrained:
        network.text.features.copy_(encode_classes(config.text, space(config.labels).names, base))
