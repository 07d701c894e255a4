"""Time2General as two pure functions, `encode` once per frame and `decode` once per output."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.labels import space
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.deformable_decoder import DeformablePixelDecoder
from t2g_ros.model.encoders.build import build_depth_encoder, build_encoder
from t2g_ros.model.features import feature_shapes
from t2g_ros.model.memory_decoder import ClipTokens, MemoryDecoder
from t2g_ros.model.pixel_decoder import PixelDecoder
from t2g_ros.model.pixel_memory import SUB, PixelMemory
from t2g_ros.model.scores import OUTPUT_STRIDE, DecodedClip, class_scores, resolve, semantic_scores
from t2g_ros.model.settled_modulation import SettledModulation
from t2g_ros.model.settling import Settling
from t2g_ros.model.stability_queries import StabilityQueries, StageModulations
from t2g_ros.model.token_modulation import TextStep, TokenModulation
from t2g_ros.model.windows import WINDOW

__all__ = ["OUTPUT_STRIDE", "DecodedClip", "FrameFeatures", "Time2General", "resolve"]

FrameFeatures = dict[str, Tensor]
"""All that is kept of one frame. As `encode` gives it, nothing in it depends on any other frame or on the time.

What segmenting this very frame needs (`features.FRAME_NAMES`):
`mask_features`: (B, H/4, W/4, d), channels last, as convolutions leave them in engines;
`pixel_queries`, `pixel_present`: (B, W, m, dk) and (B, W, m, 4 dv), with which its pixels read (`PixelMemory`), if they
do.
The frame's part of the memory, of which `Time2General.segment` replaces some once the frame is segmented:
`keys`, `values`: (B, heads, N, d / heads) tokens of all memory levels, which the queries read;
`queries`: (B, Q, d) stability queries after they read this frame, if there are such;
`mask_tokens`: (B, N, d) mask features at those tokens, with masked attention;
`pixel_keys`, `pixel_values`: (B, W, n, dk) and (B, W, n, 4 dv), which the pixels read, if they do.
"""


class Time2General(Settling):
    """The network (arXiv 2602.09648), with this project's encoder seam and streaming form.

    Raises:
        ModelError: the config's encoders cannot be built.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.classes = len(space(config.labels))
        width = config.width
        self.encoder = build_encoder(config.encoder)
        self.depth = None if config.depth is None else build_depth_encoder(config.depth, config.encoder)
        self.text: TextStep | None = None
        self._settled: SettledModulation | None = None
        self._settled_places: Tensor | None = None
        if config.stability_queries:
            self._build_stability_queries()
        else:
            self.decoder_queries = nn.Parameter(torch.randn(config.queries, width) * width**-0.5)
        channels, pixel = self.encoder.channels, config.pixel_decoder
        self.pixel_decoder: nn.Module = (
            DeformablePixelDecoder(channels, width, pixel.layers, pixel.heads, pixel.points)
            if pixel.kind == "deformable"
            else PixelDecoder(channels, width, pixel.blocks)
        )
        self.level = nn.Parameter(torch.randn(len(config.memory_strides), width) * 0.02)
        self.position = nn.Linear(4, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.hungarian = config.assignment == "hungarian"
        self.memory_decoder = MemoryDecoder(
            self.classes,
            width,
            config.heads,
            config.decoder_layers,
            timed=config.time_embedding,
            hungarian=self.hungarian,
        )
        if not self.hungarian:
            self.class_bias = nn.Parameter(torch.zeros(self.classes))
        # The scale keeps class scores soft at the start; Mask2Former's masks have none.
        self.mask_scale = 1.0 if self.hungarian else width**-0.5
        self.pixel_memory = (
            PixelMemory(width, config.pixel_key_width, config.pixel_value_width, timed=config.time_embedding)
            if config.pixel_memory
            else None
        )

    def _build_stability_queries(self) -> None:
        """The queries have a plain transformer's width; of other encoders, whose stages differ, the decoder's."""
        config, encoder = self.config, self.encoder
        width = next(iter(encoder.layers.values())) if encoder.has_tokens else config.width
        self.queries = StabilityQueries(config.queries, width, config.query_rank, len(encoder.layers))
        if config.text is not None:
            self.text = TextStep(self.classes, config.text.width, width)
        self.modulation: nn.Module = (
            TokenModulation(width, depth=self.depth is not None)
            if encoder.has_tokens
            else StageModulations(encoder.layers, width)
        )
        self.query_in: nn.Module = nn.Linear(width, config.width) if encoder.has_tokens else nn.Identity()
        self.query_out = nn.Linear(3 * config.width, config.width)

    def encode(self, image: Tensor) -> FrameFeatures:
        """Encode frames, each on its own.

        Args:
            image: (B, 3, H, W) RGB in 0..255, H and W multiples of 64.
        """
        features: FrameFeatures = {}
        if self.config.stability_queries:
            stages, queries = self._encode_with_queries(image)
        else:
            stages, queries = self.encoder(image), None
        # Plain numbers, which a traced graph holds as such: engines compute otherwise with sizes that are results.
        size = int(image.shape[-2]), int(image.shape[-1])
        mask_features, pyramid = self.pixel_decoder(stages, size)
        features["mask_features"] = mask_features.permute(0, 2, 3, 1)
        features["keys"], features["values"] = self._memory_tokens(pyramid, size)
        if queries is not None:
            features["queries"] = queries
        if self.config.masked_attention:
            features["mask_tokens"] = self._mask_tokens(mask_features, pyramid)
        if self.pixel_memory is not None:
            features |= self.pixel_memory.remember(mask_features)
        return {name: features[name] for name in feature_shapes(self.config)}

    def _encode_with_queries(self, image: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """The encoder's stages, modulated by the stability queries, and these after they read the frame (B, Q, d)."""
        if self._settled is not None:
            stages, layers = self._settled.encode(self.encoder, self.depth, image)
            return stages, self._linked(layers)
        depth = None if self.depth is None else self.depth(image)
        read: list[Tensor] = []

        def modulate(layer: int, features: Tensor) -> Tensor:
            queries = self.queries(layer)
            prompted = queries if self.text is None else self.text(queries)
            features, seen = self.modulation(
                layer, features, queries, prompted, None if depth is None else depth[layer]
            )
            read.append(seen)
            return features

        stages = self.encoder(image, modulate)
        return stages, self._linked(self.query_in(torch.stack(read)))

    def _linked(self, layers: Tensor) -> Tensor:
        """The decoder's queries: maximum, mean and last over the layers (Rein's link, arXiv 2312.04265)."""
        return self.query_out(torch.cat([layers.amax(0), layers.mean(0), layers[-1]], dim=-1))

    @torch.no_grad()
    def settle(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        """See `Settling`; its parts are settled on their own."""
        self._settled_places = self._places(size).to(dtype)
        if self.config.stability_queries and isinstance(self.modulation, TokenModulation):
            assert isinstance(self.query_in, nn.Linear)
            self._settled = SettledModulation(self.queries, self.text, self.modulation, self.query_in, dtype)

    def _memory_tokens(self, pyramid: dict[int, Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        tokens = torch.cat([pyramid[stride].flatten(2).transpose(1, 2) for stride in self.config.memory_strides], dim=1)
        places = self._places(size) if self._settled_places is None else self._settled_places
        keys, values = self.key(tokens + places.to(tokens)), self.value(tokens)
        return tuple(x.unflatten(-1, (self.config.heads, -1)).transpose(1, 2) for x in (keys, values))

    def _places(self, size: tuple[int, int]) -> Tensor:
        """What tells the memory's tokens where they lie, (N, d), in images of one size."""
        levels = []
        for level, stride in zip(self.level, self.config.memory_strides, strict=True):
            grid = _grid(size[0] // stride, size[1] // stride, self.level.device)
            levels.append(self.position(grid.to(self.level)) + level)
        return torch.cat(levels)

    def _mask_tokens(self, mask_features: Tensor, pyramid: dict[int, Tensor]) -> Tensor:
        """Mask features at the memory's tokens, (B, N, d), resized as Mask2Former resizes masks, linear in them."""
        sizes = [pyramid[stride].shape[-2:] for stride in self.config.memory_strides]
        maps = [F.interpolate(mask_features, size=s, mode="bilinear", align_corners=False) for s in sizes]
        return torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)

    def decode_layers(
        self, frame: FrameFeatures, memory: FrameFeatures, offsets_s: Tensor, valid: Tensor, change: Tensor | None
    ) -> list[DecodedClip]:
        """What is decoded after every decoder layer, for the auxiliary losses.

        Args:
            frame, memory, offsets_s, valid: as of `decode`.
            change: what `read` returned for them.
        """
        return [
            self._decoded(self._mask_logits(masks, frame, change), class_logits)
            for masks, class_logits in self.memory_decoder(self._clip_tokens(memory, offsets_s, valid))
        ]

    def decode_clip(self, features: FrameFeatures, offsets_s: Tensor, valid: Tensor) -> list[DecodedClip]:
        """Segment all frames of a clip with one set of queries, as a set loss over clips needs it.

        Args:
            features: of the frames, with an axis T after B.
            offsets_s: (B, T) seconds of each frame relative to the one whose queries these are.
            valid: (B, T).

        Returns:
            After every decoder layer, with an axis T after B in scores and masks.
        """
        frames = [{name: features[name][:, t] for name in features} for t in range(offsets_s.shape[1])]
        changes = [
            self.read(frame, features, offsets_s - offsets_s[:, t : t + 1], valid) for t, frame in enumerate(frames)
        ]
        return [
            self._decoded(
                torch.stack([self._mask_logits(masks, *of) for of in zip(frames, changes, strict=True)], dim=1),
                class_logits,
            )
            for masks, class_logits in self.memory_decoder(self._clip_tokens(features, offsets_s, valid))
        ]

    def read(self, frame: FrameFeatures, memory: FrameFeatures, offsets_s: Tensor, valid: Tensor) -> Tensor | None:
        """By what the frame's pixels change when they read the memory, (B, W, m, 4 dv), if they do.

        Arguments as of `decode`.
        """
        if self.pixel_memory is None:
            return None
        own = frame["pixel_queries"], frame["pixel_present"]
        return self.pixel_memory.read(*own, memory["pixel_keys"], memory["pixel_values"], offsets_s, valid)

    def _written_back(self, frame: FrameFeatures, change: Tensor | None) -> FrameFeatures:
        """What replaces a part of what the memory holds of the frame; `change` is what `read` returned for it."""
        if self.pixel_memory is None or change is None or not self.config.pixel_write_back:
            return {}
        return {"pixel_values": self.pixel_memory.written_back(frame["pixel_present"], change, _rows(frame))}

    def read_in_turn(self, features: FrameFeatures, offsets_s: Tensor, valid: Tensor) -> Tensor | None:
        """Let the frames of clips read one after the other, as in a stream that begins with the first one.

        Args:
            features: of the frames, with an axis T after B.
            offsets_s: (B, T, T) seconds, in row t of every frame relative to frame t.
            valid: (B, T, T), in row t 1 for the frames that t reads.

        Returns:
            (B, T, W, m, 4 dv), `read` of each frame from a memory in which what those before it wrote back lies.
        """
        if self.pixel_memory is None:
            return None
        memory, changes = dict(features), []
        for t in range(valid.shape[1]):
            frame = {name: field[:, t] for name, field in features.items()}
            change = self.read(frame, memory, offsets_s[:, t], valid[:, t])
            assert change is not None
            changes.append(change)
            for name, field in self._written_back(frame, change).items():
                memory[name] = torch.cat([memory[name][:, :t], field[:, None], memory[name][:, t + 1 :]], dim=1)
        return torch.stack(changes, dim=1)

    def _clip_tokens(self, memory: FrameFeatures, offsets_s: Tensor, valid: Tensor) -> ClipTokens:
        queries = self._clip_queries(memory, valid)
        return ClipTokens(queries, memory["keys"], memory["values"], offsets_s, valid, memory.get("mask_tokens"))

    def _mask_logits(self, masks: Tensor, frame: FrameFeatures, change: Tensor | None) -> Tensor:
        """Products of mask embeddings (B, Q, d) and the frame's pixels as the memory changed them, (B, Q, H/4, W/4)."""
        masks, pixels = masks * self.mask_scale, frame["mask_features"]
        size = pixels.shape[1:3]
        logits = (masks @ pixels.flatten(1, 2).transpose(-1, -2)).unflatten(-1, size)
        if self.pixel_memory is None or change is None:
            return logits
        # The change has few channels: the embeddings are brought to it instead of it to the mask features.
        changed = self.pixel_memory.placed(change, _rows(frame)).flatten(1, 2).transpose(-1, -2)
        return logits + (self.pixel_memory.project(masks) @ changed).unflatten(-1, size)

    def _decoded(self, mask_logits: Tensor, class_logits: Tensor) -> DecodedClip:
        if self.hungarian:
            return DecodedClip(semantic_scores(mask_logits, class_logits), class_logits, mask_logits)
        return DecodedClip(class_scores(mask_logits, class_logits, self.class_bias), class_logits, mask_logits)

    def _clip_queries(self, memory: FrameFeatures, valid: Tensor) -> Tensor:
        """One set of queries for the clip: the mean over its frames, so none of them can swing it alone. (B, Q, d)."""
        if not self.config.stability_queries:
            return self.decoder_queries.expand(valid.shape[0], -1, -1)
        weight = (valid / valid.sum(dim=1, keepdim=True))[..., None, None]
        return self.query_in(self.queries.shared) + (memory["queries"] * weight).sum(dim=1)

    def segment(
        self, frame: FrameFeatures, memory: FrameFeatures, offsets_s: Tensor, valid: Tensor
    ) -> tuple[DecodedClip, FrameFeatures]:
        """Segment one frame of each clip; the order of the T slots does not matter.

        Args:
            frame: features of the segmented frame, of which those in `features.FRAME_NAMES` are read.
            memory: features of all frames in memory, the segmented one among them, with an axis T after B, of which
                the others are read.
            offsets_s: (B, T) seconds of each frame relative to the segmented one, negative for the past.
            valid: (B, T), 1 where the slot holds a frame, 0 where it is to be ignored.

        Returns:
            What is decoded, and what from now on the memory is to hold of the frame in place of what it did: the
            features that `features.written_back_names` tells, by their own names.
        """
        change = self.read(frame, memory, offsets_s, valid)
        masks, class_logits = self.memory_decoder.last(self._clip_tokens(memory, offsets_s, valid))
        decoded = self._decoded(self._mask_logits(masks, frame, change), class_logits)
        return decoded, self._written_back(frame, change)

    def decode(self, frame: FrameFeatures, memory: FrameFeatures, offsets_s: Tensor, valid: Tensor) -> DecodedClip:
        """As `segment`, with nothing to write back."""
        return self.segment(frame, memory, offsets_s, valid)[0]

    def forward(self, clip: Tensor, times_s: Tensor, reference: int = -1) -> DecodedClip:
        """Segment frame `reference` of whole clips (B, T, 3, H, W) taken at (B, T) seconds.

        With `pixel_write_back`, what the frames before it wrote back is that of a stream which begins with the clip,
        and lags behind by as many frames as come after the reference.
        """
        batch, frames = clip.shape[:2]
        features = {k: f.unflatten(0, (batch, frames)) for k, f in self.encode(clip.flatten(0, 1)).items()}
        reference %= frames
        offsets_s = times_s[:, None, :] - times_s[:, :, None]  # row t: every frame relative to t
        valid = torch.ones_like(offsets_s).tril(frames - 1 - reference)
        if not self.config.memory:
            valid = (offsets_s == 0).to(valid)
        changes = self.read_in_turn(features, offsets_s[:, : reference + 1], valid[:, : reference + 1])
        frame = {name: features[name][:, reference] for name in features}
        change = None if changes is None else changes[:, reference]
        return self.decode_layers(frame, features, offsets_s[:, reference], valid[:, reference], change)[-1]


def _rows(frame: FrameFeatures) -> int:
    """Rows of windows in which the frame's pixels read."""
    return int(frame["mask_features"].shape[1]) // (SUB * WINDOW[0])


def _grid(height: int, width: int, device: torch.device) -> Tensor:
    """Coordinates of a token grid as smooth features, (height * width, 4): y, x and their squares."""
    y = torch.linspace(-1, 1, height, device=device)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, device=device)[None, :].expand(height, width)
    return torch.stack([y, x, y * y, x * x], dim=-1).reshape(-1, 4)
