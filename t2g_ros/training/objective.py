"""The training objective: from a step's clips to one number and its parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.labels import group_matrix, space
from t2g_ros.model.time2general import OUTPUT_STRIDE, DecodedClip, FrameFeatures, Time2General
from t2g_ros.training.batches import Batch
from t2g_ros.training.config import TrainConfig
from t2g_ros.training.consistency import DIVERGENCES, masked_temporal_consistency
from t2g_ros.training.losses import coarse_log_probabilities, dice_loss, presence_loss, segmentation_loss
from t2g_ros.training.set_loss import PARTS, set_loss

SET_PARTS = tuple(f"set_{part}" for part in PARTS)


class Objective(nn.Module):
    """The network together with its loss: what is spread over processes, so that each reduces its own clips.

    Every frame of a clip is segmented from a memory of the frames before it, as in deployment. Every loss is
    normalised within its clip and the clips are averaged: with as many clips in every process, the mean over
    processes is the loss of the whole batch.

    Args:
        network: the network that is trained.
        config: weights and forms of the losses.
        class_weights: per label space, (C,).
    """

    def __init__(self, network: Time2General, config: TrainConfig, class_weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.matched = config.model.assignment == "hungarian"
        fine = space(config.model.labels)
        for name, weights in class_weights.items():
            self.register_buffer(f"weights_{name}", weights, persistent=False)
            self.register_buffer(f"groups_{name}", torch.from_numpy(group_matrix(fine, space(name))), persistent=False)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and, detached, its parts by name, each before its weight."""
        images = batch.images.flatten(0, 1).float()
        images = images.contiguous(memory_format=torch.channels_last)
        shape = batch.times_s.shape  # (B, T)
        features = {name: f.unflatten(0, shape) for name, f in self.network.encode(images).items()}
        draws = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        # The first frame has no past to read; frames whose past is left out by chance stand for it.
        first = min(1, shape[1] - 1) if not self.matched else 0
        layers = self._predict(features, batch.times_s, draws, slice(first, None))
        parts: dict[str, list[Tensor]] = {}
        # The newest frame once more, from a memory of other strides.
        again: list[DecodedClip] = []
        if self.config.stride_consistency_weight:
            again = self._decode(features, batch.times_s, draws, references=slice(-1, None))
        supervise = self._supervise_sets if self.matched else self._supervise
        with torch.autocast(images.device.type, enabled=False):
            for i, name in enumerate(batch.spaces):
                decoded = [DecodedClip(*(field[i] for field in layer)) for layer in layers]
                labels = batch.labels[i, first:].long()
                supervise(labels, name, decoded, parts, draws[i])
                self._keep_consistent(layers[-1].scores[i], labels, name, parts)
                if again:
                    self._agree(layers[-1].scores[i, -1:], again[-1].scores[i], parts)
            means = {name: torch.stack(values).mean() for name, values in parts.items()}
            total = torch.stack([self._weight(name) * value for name, value in means.items()]).sum()
        return total, {name: value.detach() for name, value in means.items()}

    def _weight(self, part: str) -> float:
        """Weight of a part: its own key of the config; the parts of the set loss bring theirs."""
        return 1.0 if part in ("segmentation", *SET_PARTS) else getattr(self.config, f"{part}_weight")

    def _predict(
        self, features: FrameFeatures, times: Tensor, draws: list[torch.Generator], references: slice
    ) -> list[DecodedClip]:
        """As `_decode`; where queries are matched with a clip's classes, all its frames by the newest's queries.

        Class logits are then (B, Q, K + 1), or, of a network without a memory, whose clips are single frames,
        (B, T, Q, K + 1).
        """
        if not (self.matched and self.network.config.memory):
            return self._decode(features, times, draws, references)
        layers = self.network.decode_clip(features, times - times[:, -1:], self._kept(times, draws)[:, -1])
        return [DecodedClip(*(field.float() for field in layer)) for layer in layers]

    def _kept(self, times: Tensor, draws: list[torch.Generator]) -> Tensor:
        """Which frames each frame finds in its memory, (B, T, T): itself and a random part of its past."""
        t = times.shape[1]
        random = torch.stack([torch.rand(t, t, generator=draw) for draw in draws])
        drop = self.config.memory_drop if self.network.config.memory else 1.0
        past = (random >= drop).to(times).tril(-1)
        return past + torch.eye(t).to(times)

    def _decode(
        self,
        features: FrameFeatures,
        times: Tensor,
        draws: list[torch.Generator],
        references: slice,
    ) -> list[DecodedClip]:
        """Segment frames of each clip causally, with a random part of their past.

        Args:
            features: (B, T, ...) of all frames.
            times: (B, T) seconds.
            draws: per clip, draws which past frames are left out.
            references: which of the T frames to segment.

        Returns:
            Per decoder layer, scores (B, R, K, h, w) and class logits (B, R, K) of the R references.
        """
        valid = self._kept(times, draws)[:, references]  # (B, R, T)
        offsets = (times[:, None, :] - times[:, :, None])[:, references]  # row r: every frame relative to r
        count = valid.shape[1]
        memory = {
            name: f[:, None].expand(-1, count, *f.shape[1:]).flatten(0, 1)
            for name, f in features.items()
            if name != "mask_features"
        }
        mask_features = features["mask_features"][:, references].flatten(0, 1)
        layers = self.network.decode_layers(mask_features, memory, offsets.flatten(0, 1), valid.flatten(0, 1))
        return [DecodedClip(*(x.float().unflatten(0, valid.shape[:2]) for x in layer)) for layer in layers]

    def _supervise(
        self,
        labels: Tensor,
        label_space: str,
        layers: list[DecodedClip],
        parts: dict[str, list[Tensor]],
        draw: torch.Generator,
    ) -> None:
        """Add one clip's losses.

        Args:
            labels: (R, 2h, 2w) int64.
            label_space: name of the labels' space.
            layers: per decoder layer, scores (R, K, h, w) and class logits (R, K).
            parts: lists to append to.
            draw: not looked at.
        """
        c = self.config
        groups, weights = self.get_buffer(f"groups_{label_space}"), self.get_buffer(f"weights_{label_space}")
        for layer in layers[:-1] if c.auxiliary_weight else ():
            log_p = coarse_log_probabilities(layer.scores, groups)
            step = OUTPUT_STRIDE  # the auxiliary losses stay on the scores' own, twice as coarse grid
            parts.setdefault("auxiliary", []).append(segmentation_loss(log_p, labels[:, ::step, ::step], weights))
        log_p = _label_log_probabilities(layers[-1].scores, groups)
        parts.setdefault("segmentation", []).append(segmentation_loss(log_p, labels, weights))
        if c.dice_weight:
            parts.setdefault("dice", []).append(dice_loss(log_p, labels))
        if c.presence_weight:
            presence = presence_loss(layers[-1].class_logits[-1:], labels[None], groups)
            parts.setdefault("presence", []).append(presence)

    def _supervise_sets(
        self,
        labels: Tensor,
        label_space: str,
        layers: list[DecodedClip],
        parts: dict[str, list[Tensor]],
        draw: torch.Generator,
    ) -> None:
        """Add one clip's losses where queries are matched with classes.

        Args:
            labels: (T, 2h, 2w) int64.
            label_space: name of the labels' space.
            layers: per decoder layer, class logits (Q, K + 1) and mask logits (T, Q, h, w); without a memory the frames
                are clips of their own, and the class logits (T, Q, K + 1).
            parts: lists to append to.
            draw: draws the points that masks are compared at.
        """
        groups, options = self.get_buffer(f"groups_{label_space}"), self.config.set_loss
        clips = labels[None] if self.network.config.memory else labels[:, None]  # (clips, frames, 2h, 2w)
        for index, layer in enumerate(layers):
            last = index == len(layers) - 1
            if not (last or self.config.auxiliary_weight):
                continue
            masks = layer.mask_logits.reshape(*clips.shape[:2], *layer.mask_logits.shape[1:])
            classes = layer.class_logits.reshape(len(clips), *layer.class_logits.shape[-2:])
            found = set_loss(classes, masks, clips, groups, options, draw)
            if last:
                for part, value in found.items():
                    parts.setdefault(f"set_{part}", []).append(value)
            else:
                parts.setdefault("auxiliary", []).append(torch.stack([*found.values()]).sum())

    def _keep_consistent(
        self, scores: Tensor, labels: Tensor, label_space: str, parts: dict[str, list[Tensor]]
    ) -> None:
        """Add the consistency of one clip: scores (R, K, h, w), labels (R, 2h, 2w)."""
        c = self.config
        if c.consistency_weight:
            consistency = masked_temporal_consistency(
                _label_log_probabilities(scores, self.get_buffer(f"groups_{label_space}"))[None],
                labels[None],
                DIVERGENCES[c.consistency_divergence],
                c.consistency_pairs,
                c.consistency_mask,
            )
            parts.setdefault("consistency", []).append(consistency)

    def _agree(self, scores: Tensor, again: Tensor, parts: dict[str, list[Tensor]]) -> None:
        """Add the divergence of two predictions of one frame, each (1, K, h, w) scores."""
        divergence = DIVERGENCES[self.config.consistency_divergence]
        change = divergence(scores.log_softmax(dim=1), again.log_softmax(dim=1))
        parts.setdefault("stride_consistency", []).append(change.mean())


def _label_log_probabilities(scores: Tensor, groups: Tensor) -> Tensor:
    """Log-probabilities of coarse classes on the labels' grid, (R, C, 2h, 2w), of scores (R, K, h, w)."""
    raised = F.interpolate(scores, scale_factor=4 / OUTPUT_STRIDE, mode="bilinear", align_corners=False)
    return coarse_log_probabilities(raised, groups)
