"""From the sections of a model config to encoders: completed by checkpoints, built, and filled with their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import (
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTModel,
    PreTrainedConfig,
)

from t2g_ros.errors import ModelError
from t2g_ros.model.encoders.backbone import STAGES, BackboneEncoder, BackboneTrunk
from t2g_ros.model.encoders.base import Encoder
from t2g_ros.model.encoders.mobilenet_v2 import MobileNetV2Encoder
from t2g_ros.model.encoders.pretrained import architecture, built_config, read_config, read_network
from t2g_ros.model.encoders.vit import STRIDE, DepthEncoder, Dinov2Trunk, Dinov3Trunk, ViTEncoder, ViTTrunk
from t2g_ros.model.sections import DepthConfig, EncoderConfig

TYPES = {"dinov2": ("dinov2",), "dinov3": ("dinov3_vit",), "backbone": tuple(STAGES)}
"""Kinds of encoders and the model types of `transformers` that they take."""
FOUR_STAGES = (1, 2, 3, 4)


def build_encoder(config: EncoderConfig) -> Encoder:
    """Build an encoder with random weights.

    Raises:
        ModelError: the architecture is missing, wrong, or has fewer layers than taps.
    """
    if config.kind == "mobilenet_v2":
        return MobileNetV2Encoder()
    where = "encoder.architecture"
    encoder: BackboneEncoder | ViTEncoder
    if config.kind == "backbone":
        built = built_config(config.architecture, TYPES[config.kind], where, out_indices=FOUR_STAGES)
        encoder = BackboneEncoder(BackboneTrunk(built))
    else:
        encoder = ViTEncoder(_vit_trunk(config.architecture, TYPES[config.kind], where, config.taps[-1]), config.taps)
    if config.frozen:
        encoder.trunk.freeze()
    return encoder


def build_depth_encoder(config: DepthConfig, encoder: EncoderConfig) -> DepthEncoder:
    """Build the depth encoder that belongs to an image encoder, with random weights.

    Raises:
        ModelError: the architecture is missing or wrong, or the layers or the width differ from the image encoder's.
    """
    where = "depth.architecture"
    found, expected = (
        [c.architecture.get(key) for key in ("num_hidden_layers", "hidden_size")] for c in (config, encoder)
    )
    if config.architecture and found != expected:
        raise ModelError(
            f"{where}: {found[0]} layers of width {found[1]}, expected {expected[0]} of {expected[1]} as the image "
            "encoder's; take two of one size, such as facebook/dinov2-large and "
            "depth-anything/Depth-Anything-V2-Large-hf"
        )
    return DepthEncoder(_vit_trunk(config.architecture, TYPES["dinov2"], where, encoder.taps[-1]))


def _vit_trunk(kept: Mapping[str, Any], types: tuple[str, ...], where: str, depth: int) -> ViTTrunk:
    built = built_config(kept, types, where)
    if depth > built.num_hidden_layers:
        raise ModelError(f"encoder.taps: layer {depth}, expected at most {built.num_hidden_layers}, the last one")
    if built.model_type == "dinov3_vit":
        built.patch_size = STRIDE
        return Dinov3Trunk(built, depth)
    side = built.image_size // built.patch_size  # of the grid of position embeddings
    built.patch_size, built.image_size = STRIDE, side * STRIDE
    return Dinov2Trunk(built, depth)


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
