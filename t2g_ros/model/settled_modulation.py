"""Stability queries in a plain transformer as inference computes them: in few products of weights multiplied before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.model.beside import beside, both
from t2g_ros.model.encoders.base import Encoder
from t2g_ros.model.kernels import kernel_or
from t2g_ros.model.settling import computing, linear_relu
from t2g_ros.model.stability_queries import StabilityQueries
from t2g_ros.model.token_modulation import Read, TextStep, TokenModulation

if TYPE_CHECKING:
    from t2g_ros.model.encoders.vit import DepthEncoder

ALIGNED = 8
"""Rows of 16 bits whose length is a multiple of it are read by GPUs at full speed."""

Begun = tuple[Tensor, Tensor, "Tensor | None"]
"""What a layer's modulation adds to: queries (B, Q, C), to which goes what they read of the tokens; what is written for
P of them, some being padding, (B, P, C); and with depth its logits (B, N, P), to which go those of the tokens."""


class SettledModulation:
    """`TokenModulation` of every layer with its `StabilityQueries` and `TextStep`, for inference.

    What is multiplied before are weights with each other and with the queries, which no image changes:
    of the reads their probes S' Wq Wk^T; of the writing S^T / sqrt(C), and the MLP's last product with the two behind
    it, s Wmix Wwrite W2; and that last product with the one that brings the queries to the decoder.

    Args:
        queries, text, modulation: of the network.
        out: what brings the queries to the decoder's width d.
        dtype: of all products.
    """

    def __init__(
        self,
        queries: StabilityQueries,
        text: TextStep | None,
        modulation: TokenModulation,
        out: nn.Linear,
        dtype: torch.dtype,
    ) -> None:
        def kept(tensor: Tensor) -> Tensor:
            return tensor.detach().to(dtype).contiguous()

        own = torch.stack([queries(layer) for layer in range(len(queries.down))])  # (L, Q, C)
        prompted = own if text is None else torch.stack([text(q) for q in own])
        padding = (0, 0, 0, -own.shape[1] % ALIGNED)
        fuse: Any = modulation.fuse
        norm, first, _, last = fuse
        reads = [read for read in (modulation.read, modulation.read_depth) if read is not None]
        self._probes = [kept(_probes(read, prompted)) for read in reads]  # (L, Q, C)
        self._values = [kept(read.value.weight.T) for read in reads]
        self._start = kept(prompted + sum(read.value.bias for read in reads))
        self._norm = (own.shape[-1:], kept(norm.weight), kept(norm.bias), norm.eps)
        self._first = kept(first.weight), kept(first.bias)
        # Padding takes no share of a patch, and nothing would be written for it.
        self._queries = kept(F.pad(own * modulation.temperature, padding).transpose(1, 2))  # (L, C, P)
        self._no_logits = kept(F.pad(own.new_zeros(own.shape[1]), padding[2:], value=-1e4))
        mix = modulation.scale * modulation.mix.weight
        self._mix = kept(mix), kept(modulation.scale * modulation.mix.bias)
        self._write = kept((mix @ modulation.write.weight @ last.weight).T)
        written = (prompted + last.bias) @ (mix @ modulation.write.weight).T + mix @ modulation.write.bias
        # To whoever chooses the sink nothing is written.
        self._written = kept(F.pad(F.pad(written[:, :-1], (0, 0, 0, 1)), padding))  # (L, P, C)
        self._out = kept(out.weight @ last.weight)
        self._unread = kept(out(prompted + last.bias))  # (L, Q, d)
        self._softmax = fused_softmax(own.device)
        self._beside, self._aside = (
            torch.cuda.Stream(own.device, priority=priority) if own.is_cuda else None for priority in (0, -1)
        )  # whoever waits for the second one comes before the first

    def encode(self, encoder: Encoder, depth: DepthEncoder | None, image: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Encode images with their layers modulated, the depth encoder beside the image encoder.

        Args:
            encoder, depth: of the network.
            image: (B, 3, H, W) RGB in 0..255.

        Returns:
            The encoder's stages, and the queries of all layers after they read the images, (L, B, Q, d).
        """
        seen = repeat(None) if depth is None else depth.walk(image)
        begun = beside((self._begin(layer, len(image), of) for layer, of in enumerate(seen)), self._beside)
        hidden: list[Tensor] = []

        def modulate(layer: int, tokens: Tensor) -> Tensor:
            hidden.append(self._modulate(layer, tokens, next(begun)))
            return tokens

        stages = encoder(image, modulate)
        with computing(self._out):
            return stages, self._unread[:, None] + F.linear(torch.stack(hidden), self._out)

    def _begin(self, layer: int, batch: int, depth: Tensor | None) -> Begun:
        """What of a layer's modulation needs no tokens.

        Args:
            layer: its number.
            batch: B.
            depth: (B, N, C) of that layer, if there is any.
        """
        read = self._start[layer].expand(batch, -1, -1).clone()
        written = self._written[layer].expand(batch, -1, -1).clone()
        if depth is None:
            return read, written, None
        with computing(depth):
            read.baddbmm_(self._attended(self._probes[1][layer], depth), self._values[1].expand(batch, -1, -1))
            return read, written, F.linear(depth, self._queries[layer].T, self._no_logits)

    def _modulate(self, layer: int, tokens: Tensor, begun: Begun) -> Tensor:
        """Change the tokens (B, N, C) that leave a layer in place.

        Returns:
            What the queries read as the MLP holds it, (B, Q, C).
        """
        read, written, logits = begun
        batch = len(tokens)

        def queries() -> Tensor:
            read.baddbmm_(self._attended(self._probes[0][layer], tokens), self._values[0].expand(batch, -1, -1))
            hidden = linear_relu(F.layer_norm(read, *self._norm), *self._first)
            written[:, : hidden.shape[1] - 1].baddbmm_(hidden[:, :-1], self._write.expand(batch, -1, -1))
            return hidden

        def patches() -> tuple[Tensor, Tensor]:
            if logits is None:
                chosen = F.linear(tokens, self._queries[layer].T, self._no_logits)
            else:
                chosen = logits.baddbmm_(tokens, self._queries[layer].expand(batch, -1, -1))
            return torch.softmax(chosen, dim=-1), F.linear(tokens, *self._mix)

        with computing(tokens):
            # Products of few queries leave most of a GPU idle.
            hidden, (shares, change) = both(queries, patches, self._aside)
            tokens.add_(change.baddbmm_(shares, written))
        return hidden

    def _attended(self, probes: Tensor, tokens: Tensor) -> Tensor:
        """What probes (Q, C) find in tokens (B, N, C), (B, Q, C)."""
        return self._softmax(torch.bmm(probes.expand(len(tokens), -1, -1), tokens.transpose(1, 2))) @ tokens


@cache
def fused_softmax(device: torch.device) -> Callable[[Tensor], Tensor]:
    """`torch.softmax` of the last axis, in a kernel of its own where the device and what is installed allow it."""

    def load() -> Callable[[Tensor], Tensor]:
        from t2g_ros.model.kernels.softmax import softmax_of_rows

        return softmax_of_rows

    return kernel_or(_softmax, load, lambda kernel: kernel(torch.zeros(1, 8, device=device)), device)


def _softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=-1)


def _probes(read: Read, queries: Tensor) -> Tensor:
    """What is multiplied with the tokens that are read."""
    return (read.query(queries) * read.scale) @ read.key.weight
