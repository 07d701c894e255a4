"""From the sections of a model config to encoders with random weights.

Every kind is imported where it is needed: `transformers` takes long, and whoever runs a small model waits for its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from t2g_ros.errors import ModelError
from t2g_ros.model.encoders.base import Encoder
from t2g_ros.model.sections import DepthConfig, EncoderConfig

if TYPE_CHECKING:
    from t2g_ros.model.encoders.vit import DepthEncoder, ViTTrunk

PLAIN_TYPES = {"dinov2": ("dinov2",), "dinov3": ("dinov3_vit",)}
"""Kinds of plain transformers and the model types of `transformers` that they take."""
FOUR_STAGES = (1, 2, 3, 4)


def build_encoder(config: EncoderConfig) -> Encoder:
    """Build an encoder.

    Raises:
        ModelError: the architecture is missing, wrong, or has fewer layers than taps.
    """
    if config.kind == "mobilenet_v2":
        from t2g_ros.model.encoders.mobilenet_v2 import MobileNetV2Encoder

        return MobileNetV2Encoder()
    encoder: Any
    if config.kind == "backbone":
        from t2g_ros.model.encoders.architecture import built_config
        from t2g_ros.model.encoders.backbone import STAGES, BackboneEncoder, BackboneTrunk

        built = built_config(config.architecture, tuple(STAGES), "encoder.architecture", out_indices=FOUR_STAGES)
        encoder = BackboneEncoder(BackboneTrunk(built))
    else:
        from t2g_ros.model.encoders.vit import ViTEncoder

        trunk = _vit_trunk(config.architecture, PLAIN_TYPES[config.kind], "encoder.architecture", config.taps[-1])
        encoder = ViTEncoder(trunk, config.taps)
    if config.frozen:
        encoder.trunk.freeze()
    return encoder


def build_depth_encoder(config: DepthConfig, encoder: EncoderConfig) -> DepthEncoder:
    """Build the depth encoder that belongs to an image encoder.

    Raises:
        ModelError: the architecture is missing or wrong, or the layers or the width differ from the image encoder's.
    """
    from t2g_ros.model.encoders.vit import DepthEncoder

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
    return DepthEncoder(_vit_trunk(config.architecture, PLAIN_TYPES["dinov2"], where, encoder.taps[-1]))


def _vit_trunk(kept: dict[str, Any], types: tuple[str, ...], where: str, depth: int) -> ViTTrunk:
    from t2g_ros.model.encoders.architecture import built_config
    from t2g_ros.model.encoders.vit import STRIDE, Dinov2Trunk, Dinov3Trunk

    built = built_config(kept, types, where)
    if depth > built.num_hidden_layers:
        raise ModelError(f"encoder.taps: layer {depth}, expected at most {built.num_hidden_layers}, the last one")
    if built.model_type == "dinov3_vit":
        built.patch_size = STRIDE
        return Dinov3Trunk(built, depth)
    side = built.image_size // built.patch_size  # of the grid of position embeddings
    built.patch_size, built.image_size = STRIDE, side * STRIDE
    return Dinov2Trunk(built, depth)
