"""The spatio-temporal memory decoder: stability queries attend to the cached tokens of a whole clip."""

from __future__ import annotations

from torch import Tensor, nn

from t2g_ros.model.time_embedding import TimeEmbedding


class MemoryAttention(nn.Module):
    """Multi-head attention of the queries over all tokens of all valid frames.

    Keys are cached without their time: W_k (x + e) = W_k x + W_k e, so the time term is added to the
    logits per frame and a cached key stays right however old its frame grows.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.time_key = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.scale = (width // heads) ** -0.5

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, time: Tensor, valid: Tensor) -> Tensor:
        """Attend.

        Args:
            queries: (B, Q, d).
            keys, values: (B, T, heads, N, d / heads) as cached.
            time: (B, T, d) time embedding of each frame.
            valid: (B, T), 1 where the slot holds a frame, else 0.

        Returns:
            (B, Q, d).
        """
        q = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)[:, None] * self.scale
        time_keys = self.time_key(time).unflatten(-1, (self.heads, -1))[..., None]  # (B, T, h, d/h, 1)
        # Finite, because bf16 engines dislike -inf.
        frame = q @ time_keys + (valid[..., None, None, None] - 1.0) * 1e4  # (B, T, h, Q, 1)
        logits = q @ keys.transpose(-1, -2) + frame  # (B, T, h, Q, N)
        # One softmax over all frames and tokens, with the frame axis kept apart: joining it with the
        # tokens would copy the whole memory.
        weights = (logits - logits.amax(dim=(1, 4), keepdim=True)).exp()
        read = (weights @ values).sum(dim=1) / weights.sum(dim=(1, 4))[..., None]  # (B, h, Q, d/h)
        return self.out(read.transpose(1, 2).flatten(-2))


class MemoryDecoderLayer(nn.Module):
    """Memory attention, attention among the queries, feed-forward; each pre-normed and residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.memory_attention = MemoryAttention(width, heads)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, time: Tensor, valid: Tensor) -> Tensor:
        """Shapes as in `MemoryAttention.forward`."""
        queries = queries + self.memory_attention(self.norms[0](queries), keys, values, time, valid)
        q = self.norms[1](queries)
        queries = queries + self.self_attention(q, q, q, need_weights=False)[0]
        return queries + self.feed_forward(self.norms[2](queries))


class MemoryDecoder(nn.Module):
    """The layers and the two heads: a mask embedding and a class logit per class query.

    One query per class with fixed assignment (tqdm's form, arXiv 2407.09033): for a small network
    it needs no matching and its masks are the class scores themselves.
    """

    def __init__(self, classes: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.classes = classes
        self.time = TimeEmbedding(width)
        self.layers = nn.ModuleList(MemoryDecoderLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.mask_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.class_head = nn.Linear(width, 1)

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, offsets_s: Tensor, valid: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Decode the clip.

        Args:
            queries: (B, Q, d) clip-level stability queries.
            keys, values: (B, T, heads, N, d / heads).
            offsets_s: (B, T) seconds relative to the segmented frame.
            valid: (B, T).

        Returns:
            Per layer, the last one last: mask embeddings (B, K, d) and class logits (B, K), the log-odds
            that the class is in the clip.
        """
        time = self.time(offsets_s)
        outputs = []
        for layer in self.layers:
            queries = layer(queries, keys, values, time, valid)
            classes = self.norm(queries[:, : self.classes])
            outputs.append((self.mask_head(classes), self.class_head(classes)[..., 0]))
        return outputs
