"""Hierarchical backbones of `transformers` through its `AutoBackbone`: Swin, ConvNeXt and their successors."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import AutoBackbone, PreTrainedConfig

from t2g_ros.model.encoders.base import Encoder, ImageNetNormalization, Modulate, Trunk

STAGES = {
    "swin": "swin.encoder.layers",
    "swinv2": "encoder.layers",
    "convnext": "encoder.stages",
    "convnextv2": "encoder.stages",
    "dinov3_convnext": "model.stages",
}
"""Model types and where their four stages are; what leaves a stage is modulated before the next one sees it."""
STRIDES = (4, 8, 16, 32)


class BackboneTrunk(Trunk):
    """The backbone, with a hook on each of its stages.

    Args:
        config: of one of the types in `STAGES`, with all four stages as its output.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.network = AutoBackbone.from_config(config)
        self._modulate: Modulate | None = None
        for index, stage in enumerate(self.network.get_submodule(STAGES[config.model_type])):
            # A Swin stage ends with the merging of patches, after which its features are the next stage's.
            last = stage.blocks[-1] if hasattr(stage, "blocks") else stage
            # First of all hooks, since `transformers` collects the maps with hooks of its own.
            last.register_forward_hook(partial(self._after_stage, index), prepend=True, with_kwargs=True)

    def forward(self, image: Tensor, modulate: Modulate | None = None) -> list[Tensor]:
        """(B, 3, H, W), normalized -> (B, C, h, w) at strides 4, 8, 16 and 32."""
        self._modulate = modulate
        try:
            return list(self.network(image).feature_maps)
        finally:
            self._modulate = None

    def _after_stage(self, index: int, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if self._modulate is None:
            return None  # leaves the output
        if isinstance(output, Tensor):
            return self._modulate(index, output)
        tokens, *rest = output  # (B, h w, C)
        size = kwargs["input_dimensions"] if "input_dimensions" in kwargs else args[1]
        maps = self._modulate(index, tokens.transpose(1, 2).unflatten(-1, size))
        return maps.flatten(2).transpose(1, 2), *rest


class BackboneEncoder(Encoder):
    """A hierarchical backbone; the features that are modulated are the maps after each of its four stages."""

    def __init__(self, trunk: BackboneTrunk) -> None:
        super().__init__()
        self.normalize = ImageNetNormalization()
        self.trunk = trunk
        self.channels = dict(zip(STRIDES, trunk.network.channels, strict=True))
        self.layers = {str(stride): width for stride, width in self.channels.items()}

    def forward(self, image: Tensor, modulate: Modulate | None = None) -> dict[int, Tensor]:
        """See `Encoder`."""
        return dict(zip(STRIDES, self.trunk(self.normalize(image), modulate), strict=True))
