"""What encoders take from the checkpoints that a model config names: their architecture, then their weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import DepthAnythingForDepthEstimation, Dinov2Config, Dinov2Model, DINOv3ViTModel, PreTrainedConfig

from t2g_ros.errors import ModelError
from t2g_ros.model.encoders.architecture import architecture
from t2g_ros.model.encoders.backbone import STAGES, BackboneEncoder
from t2g_ros.model.encoders.base import Encoder
from t2g_ros.model.encoders.build import FOUR_STAGES, PLAIN_TYPES
from t2g_ros.model.encoders.checkpoints import read_config, read_network
from t2g_ros.model.encoders.vit import DepthEncoder, ViTEncoder
from t2g_ros.model.sections import DepthConfig, EncoderConfig

TYPES = PLAIN_TYPES | {"backbone": tuple(STAGES)}
"""Kinds of encoders and the model types of `transformers` that they take."""


def complete_encoder(config: EncoderConfig, base: Path) -> EncoderConfig:
    """Copy the architecture from the checkpoint that the config names.

    Raises:
        ModelError: the checkpoint cannot be read or is of another kind.
    """
    if not config.pretrained:
        return config
    return replace(config, architecture=_architecture(config.pretrained, base, "encoder.pretrained", config.kind))


def complete_depth(config: DepthConfig, base: Path) -> DepthConfig:
    """As `complete_encoder`, from Depth Anything's checkpoint or a plain DINOv2's."""
    if not config.pretrained:
        return config
    return replace(config, architecture=_architecture(config.pretrained, base, "depth.pretrained", "dinov2"))


def _architecture(pretrained: str, base: Path, where: str, kind: str) -> dict[str, Any]:
    found = _encoder_of(read_config(pretrained, base, where))
    if found.model_type not in TYPES[kind]:
        raise ModelError(
            f"{where}: checkpoint {pretrained} is of type {found.model_type}, expected one of {', '.join(TYPES[kind])}"
        )
    return architecture(found)


def _encoder_of(config: PreTrainedConfig) -> PreTrainedConfig:
    """Depth Anything's encoder, any other network itself."""
    return config.backbone_config if config.model_type == "depth_anything" else config


def load_encoder(encoder: Encoder, config: EncoderConfig, base: Path) -> None:
    """Fill an encoder with the weights of the checkpoint that its config names, if it names one.

    Raises:
        ModelError: the checkpoint cannot be read or does not fit.
    """
    if not config.pretrained:
        return
    where = "encoder.pretrained"
    if isinstance(encoder, BackboneEncoder):
        own: nn.Module = encoder.trunk.network
        # `AutoBackbone.from_pretrained` takes no folders, the class itself does. A classifier's checkpoint lacks the
        # norms of the stages' outputs, which start as they are built.
        found = read_network(
            type(own), config.pretrained, base, where, new=("hidden_states_norms",), out_indices=list(FOUR_STAGES)
        )
        own.load_state_dict(found.state_dict())
    elif isinstance(encoder, ViTEncoder):
        kind = Dinov2Model if config.kind == "dinov2" else DINOv3ViTModel
        encoder.trunk.load(read_network(kind, config.pretrained, base, where).state_dict())


def load_depth_encoder(encoder: DepthEncoder, config: DepthConfig, base: Path) -> None:
    """As `load_encoder`, from Depth Anything's checkpoint or a plain DINOv2's."""
    if config.pretrained:
        encoder.trunk.load(_depth_state(config.pretrained, base))


def _depth_state(pretrained: str, base: Path) -> dict[str, Tensor]:
    where = "depth.pretrained"
    if isinstance(read_config(pretrained, base, where), Dinov2Config):
        return read_network(Dinov2Model, pretrained, base, where).state_dict()
    whole = read_network(DepthAnythingForDepthEstimation, pretrained, base, where)
    return whole.get_submodule("backbone").state_dict()
