"""Plain vision transformers of `transformers`, DINOv2 and DINOv3, walked layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel

from t2g_ros.model.encoders.base import Encoder, ImageNetNormalization, Modulate, Trunk
from t2g_ros.model.encoders.patches import resize_patch_kernel
from t2g_ros.model.settling import computing

STRIDE = 16
"""Of the tokens: patches are resized to it."""
PYRAMID = (4, 8, 16, 32)
"""Strides for which the four taps stand, the shallowest first (Rein, arXiv 2312.04265)."""


class ViTTrunk(Trunk):
    """The embedding and the first layers of a plain transformer whose tokens lie at stride 16."""

    prefix: int
    """Tokens before those of the patches: class token, registers."""
    patch_kernel: str
    """Name of the patch embedding's weight in the state dict."""

    def __init__(self, embeddings: nn.Module, layers: nn.ModuleList, width: int) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.layers = layers
        self.width = width

    def extras(self, image: Tensor) -> dict[str, Any]:
        """What every layer takes besides the tokens."""
        return {}

    def walk(self, image: Tensor, modulate: Modulate | None = None) -> Iterator[Tensor]:
        """Yield the patch tokens (B, N, C) after each layer, and go on with what `modulate` makes of them.

        Args:
            image: (B, 3, H, W), normalized.
            modulate: as of `Encoder.forward`.
        """
        weight = next(self.layers.parameters())
        image = image.to(weight.dtype)
        with computing(weight):
            tokens, extras = self.embeddings(image), self.extras(image)
        for index, layer in enumerate(self.layers):
            with computing(weight):
                tokens = layer(tokens, **extras)
            if modulate is not None:
                prefix, patches = tokens[:, : self.prefix], tokens[:, self.prefix :]
                modulated = modulate(index, patches)
                if modulated is not patches:
                    tokens = torch.cat([prefix, modulated], dim=1)
            # Of the joined tokens: OpenVINO 2026.4 gives wrong numbers to whatever else reads a part of them.
            yield tokens[:, self.prefix :]

    @torch.no_grad()
    def settle(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        """See `Settling`; rotary positions are still made in f32."""
        for layer in self.layers:
            _fold_scale(layer, "layer_scale1", "attention")
            _fold_scale(layer, "layer_scale2", "mlp")
        self.embeddings.to(dtype)
        self.layers.to(dtype)

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the weights that this trunk has from the state dict of the whole network, whatever its patch size.

        Args:
            state: of `Dinov2Model`, `DINOv3ViTModel` or a backbone class of these.
        """
        own = self.state_dict()
        found = {name: state[self.checkpoint_name(name)] for name in own}
        kernel = found[self.patch_kernel]
        if kernel.shape != own[self.patch_kernel].shape:
            found[self.patch_kernel] = resize_patch_kernel(kernel, STRIDE)
        self.load_state_dict(found)

    def checkpoint_name(self, name: str) -> str:
        """How the whole network's state dict calls one of this trunk's tensors."""
        raise NotImplementedError


class Dinov2Trunk(ViTTrunk):
    """DINOv2 (arXiv 2304.07193), also as Depth Anything V2 (arXiv 2406.09414) has it for an encoder.

    `transformers` interpolates the position embeddings to the size of the image.

    Args:
        config: of the network, its patch size `STRIDE`.
        depth: how many layers are needed.
    """

    prefix = 1
    patch_kernel = "embeddings.patch_embeddings.projection.weight"

    def __init__(self, config: Dinov2Config, depth: int) -> None:
        network = Dinov2Model(config)
        network.embeddings.register_parameter("mask_token", None)  # for pretraining only
        super().__init__(network.embeddings, network.encoder.layer[:depth], config.hidden_size)

    @torch.no_grad()
    def settle(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        """See `Settling`. On a GPU interpolating the positions takes as long as the 24 layers of a large network."""
        super().settle(size, dtype)
        embeddings: Any = self.embeddings
        tokens = size[0] // STRIDE * (size[1] // STRIDE) + self.prefix
        positions = embeddings.interpolate_pos_encoding(embeddings.cls_token.expand(1, tokens, -1), *size)
        embeddings.interpolate_pos_encoding = lambda *_: positions

    def checkpoint_name(self, name: str) -> str:
        """See `ViTTrunk`."""
        return name.replace("layers.", "encoder.layer.", 1) if name.startswith("layers.") else name


class Dinov3Trunk(ViTTrunk):
    """DINOv3 (arXiv 2508.10104): patches of 16, rotary positions, registers. Arguments as of `Dinov2Trunk`."""

    patch_kernel = "embeddings.patch_embeddings.weight"

    def __init__(self, config: DINOv3ViTConfig, depth: int) -> None:
        network = DINOv3ViTModel(config)
        network.embeddings.register_parameter("mask_token", None)  # for pretraining only
        super().__init__(network.embeddings, network.model.layer[:depth], config.hidden_size)
        self.positions = network.rope_embeddings
        self.prefix = 1 + config.num_register_tokens

    def extras(self, image: Tensor) -> dict[str, Any]:
        """See `ViTTrunk`."""
        return {"position_embeddings": self.positions(image)}

    def checkpoint_name(self, name: str) -> str:
        """See `ViTTrunk`."""
        return name.replace("layers.", "model.layer.", 1) if name.startswith("layers.") else name


class ViTEncoder(Encoder):
    """A plain transformer whose features after four of its layers stand for the strides 4, 8, 16 and 32.

    All four are maps at stride 16, to be resized by 4, 2, 1 and 0.5 as Rein does; see `Encoder.forward`. They are taken
    before the network's last norm, as there.

    Args:
        trunk: ends with the last tap.
        taps: numbers of the four layers, the first layer being 1.
    """

    has_tokens = True

    def __init__(self, trunk: ViTTrunk, taps: Sequence[int]) -> None:
        super().__init__()
        self.normalize = ImageNetNormalization()
        self.trunk = trunk
        self.taps = tuple(taps)
        self.channels = dict.fromkeys(PYRAMID, trunk.width)
        self.layers = {str(index): trunk.width for index in range(len(trunk.layers))}

    def forward(self, image: Tensor, modulate: Modulate | None = None) -> dict[int, Tensor]:
        """See `Encoder`; the features that are modulated are the patches' tokens."""
        grid = (image.shape[-2] // STRIDE, image.shape[-1] // STRIDE)
        maps = [
            tokens.transpose(1, 2).unflatten(-1, grid)
            for index, tokens in enumerate(self.trunk.walk(self.normalize(image), modulate), start=1)
            if index in self.taps
        ]
        return dict(zip(PYRAMID, maps, strict=True))


class DepthEncoder(nn.Module):
    """A frozen transformer that was trained to see depth, matched layer by layer with the image encoder.

    Args:
        trunk: of as many layers as the image encoder's and of its width, so that tokens align without projection.
    """

    def __init__(self, trunk: ViTTrunk) -> None:
        super().__init__()
        self.normalize = ImageNetNormalization()
        self.trunk = trunk
        trunk.freeze()

    def walk(self, image: Tensor) -> Iterator[Tensor]:
        """(B, 3, H, W) RGB in 0..255 -> the tokens after every layer, (B, N, C) each."""
        yield from self.trunk.walk(self.normalize(image))

    def forward(self, image: Tensor) -> list[Tensor]:
        """As `walk`, all of them."""
        return list(self.walk(image))


def _fold_scale(layer: nn.Module, scale: str, branch: str) -> None:
    """Multiply the last product of a layer's branch by the branch's scales of channels, and take these away."""
    scales = getattr(getattr(layer, scale), "lambda1", None)
    if scales is None:
        return
    *_, last = (module for module in getattr(layer, branch).modules() if isinstance(module, nn.Linear))
    last.weight.mul_(scales[:, None])
    if last.bias is not None:
        last.bias.mul_(scales)
    setattr(layer, scale, nn.Identity())
