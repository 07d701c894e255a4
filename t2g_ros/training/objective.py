"""The training objective: from a step's clips to one number and its parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.labels import space, supervision_matrix
from t2g_ros.model.time2general import OUTPUT_STRIDE, DecodedClip, Time2General
from t2g_ros.training.batches import Batch
from t2g_ros.training.config import TrainConfig
from t2g_ros.training.consistency import DIVERGENCES, masked_temporal_consistency
from t2g_ros.training.decoding import decode_causally, decode_sets
from t2g_ros.training.losses import coarse_log_probabilities, dice_loss, presence_loss, segmentation_loss
from t2g_ros.training.set_loss import PARTS, set_loss

UNWEIGHTED = ("segmentation", *(f"set_{part}" for part in PARTS))
"""Parts of the loss without a weight of their own in the config."""


class Objective(nn.Module):
    """The network together with its loss: what is spread over processes, so that each reduces its own clips.

    With one query per class, every frame of a clip is segmented from a memory of the frames before it, as in
    deployment; with matched queries, all of them by those of the newest one. Every loss is normalised within its clip
    and the clips are averaged: with as many clips in every process, the mean over processes is the loss of the whole
    batch.

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
        self.whole_clips = self.matched and config.model.memory
        """Whether one set of queries answers for a clip; without a memory a frame is a clip of its own."""
        fine = space(config.model.labels)
        for name, weights in class_weights.items():
            self.register_buffer(f"weights_{name}", weights, persistent=False)
            groups = torch.from_numpy(supervision_matrix(fine, space(name)))
            self.register_buffer(f"groups_{name}", groups, persistent=False)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and, detached, its parts by name, each before its weight."""
        images = batch.images.flatten(0, 1).float()
        images = images.contiguous(memory_format=torch.channels_last)
        shape = batch.times_s.shape  # (B, T)
        features = {name: f.unflatten(0, shape) for name, f in self.network.encode(images).items()}
        draws = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        decoding = self.network, features, batch.times_s, self.config.memory_drop, draws
        # Causally, the first frame has no past to read; frames whose past is left out by chance stand for it.
        first = 0 if self.whole_clips else min(1, shape[1] - 1)
        layers = decode_sets(*decoding) if self.whole_clips else decode_causally(*decoding, slice(first, None))
        # The newest frame once more, from a memory of other strides.
        again: DecodedClip | None = None
        if self.config.stride_consistency_weight:
            again = (decode_sets(*decoding) if self.whole_clips else decode_causally(*decoding, slice(-1, None)))[-1]
        parts: dict[str, list[Tensor]] = {}
        with torch.autocast(images.device.type, enabled=False):
            # unbind: the gradient of one clip's index would be as large as that of all clips.
            of_clips = [[DecodedClip(*of) for of in zip(*(f.unbind() for f in layer), strict=True)] for layer in layers]
            for i, name in enumerate(batch.spaces):
                decoded = [clips[i] for clips in of_clips]
                labels, groups = batch.labels[i, first:].long(), self.get_buffer(f"groups_{name}")
                log_p = coarse_log_probabilities(_raised(decoded[-1].scores), groups)
                if self.matched:
                    found = self._set_losses(labels, groups, decoded, draws[i])
                else:
                    found = self._class_losses(labels, groups, self.get_buffer(f"weights_{name}"), log_p, decoded)
                if self.config.consistency_weight:
                    found["consistency"] = self._consistency(log_p, labels)
                if again is not None:
                    found["stride_consistency"] = self._agreement(decoded[-1].scores[-1:], again.scores[i, -1:])
                for part, value in found.items():
                    parts.setdefault(part, []).append(value)
            means = {part: torch.stack(values).mean() for part, values in parts.items()}
            total = torch.stack([self._weight(part) * value for part, value in means.items()]).sum()
        return total, {part: value.detach() for part, value in means.items()}

    def _weight(self, part: str) -> float:
        """Weight of a part: its own key of the config; the set loss has its weights inside."""
        return 1.0 if part in UNWEIGHTED else getattr(self.config, f"{part}_weight")

    def _class_losses(
        self, labels: Tensor, groups: Tensor, weights: Tensor, log_p: Tensor, layers: list[DecodedClip]
    ) -> dict[str, Tensor]:
        """Losses of one clip whose queries are the classes.

        Args:
            labels: (R, 2 h, 2 w) int64.
            groups: (C, K) 0/1.
            weights: (C,) class weights.
            log_p: (R, C, 2 h, 2 w) of the last layer.
            layers: per decoder layer, scores (R, K, h, w) and class logits (R, K).
        """
        found = {"segmentation": segmentation_loss(log_p, labels, weights)}
        if self.config.dice_weight:
            found["dice"] = dice_loss(log_p, labels)
        if self.config.presence_weight:
            found["presence"] = presence_loss(layers[-1].class_logits[-1:], labels[None], groups)
        if self.config.auxiliary_weight and len(layers) > 1:
            step = OUTPUT_STRIDE  # on the scores' own grid, twice as coarse
            coarse = [coarse_log_probabilities(layer.scores, groups) for layer in layers[:-1]]
            losses = [segmentation_loss(p, labels[:, ::step, ::step], weights) for p in coarse]
            found["auxiliary"] = torch.stack(losses).mean()
        return found

    def _set_losses(
        self, labels: Tensor, groups: Tensor, layers: list[DecodedClip], draw: torch.Generator
    ) -> dict[str, Tensor]:
        """Losses of one clip whose queries are matched with the classes.

        Args:
            labels: (R, 2 h, 2 w) int64.
            groups: (C, K) 0/1.
            layers: per decoder layer, mask logits (R, Q, h, w) and class logits: (Q, K + 1), or (R, Q, K + 1) where
                every frame has its own queries.
            draw: draws the points at which masks are compared.
        """
        axis = 0 if self.whole_clips else 1  # frames of one clip, or clips of one frame
        losses = []
        for layer in layers if self.config.auxiliary_weight else layers[-1:]:
            classes = layer.class_logits[None] if self.whole_clips else layer.class_logits
            masks = layer.mask_logits.unsqueeze(axis)
            losses.append(set_loss(classes, masks, labels.unsqueeze(axis), groups, self.config.set_loss, draw))
        found = {f"set_{part}": value for part, value in losses[-1].items()}
        if len(losses) > 1:
            # Summed, as Mask2Former does, where the weight is 1.
            found["auxiliary"] = torch.stack([value for loss in losses[:-1] for value in loss.values()]).sum()
        return found

    def _consistency(self, log_p: Tensor, labels: Tensor) -> Tensor:
        """Masked temporal consistency of one clip: log-probabilities (R, C, h, w), labels (R, h, w)."""
        c = self.config
        divergence = DIVERGENCES[c.consistency_divergence]
        return masked_temporal_consistency(
            log_p[None], labels[None], divergence, c.consistency_pairs, c.consistency_mask
        )

    def _agreement(self, scores: Tensor, again: Tensor) -> Tensor:
        """Divergence of two predictions of one frame, each (1, K, h, w) scores."""
        divergence = DIVERGENCES[self.config.consistency_divergence]
        return divergence(scores.log_softmax(dim=1), again.log_softmax(dim=1)).mean()


def _raised(scores: Tensor) -> Tensor:
    """Scores (R, K, h, w) on the labels' grid, (R, K, 2 h, 2 w)."""
    return F.interpolate(scores, scale_factor=4 / OUTPUT_STRIDE, mode="bilinear", align_corners=False)
