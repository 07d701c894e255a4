"""The training objective: from a step's clips to one number and its parts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from t2g_ros.labels import group_matrix, space
from t2g_ros.model.time2general import OUTPUT_STRIDE, DecodedClip, FrameFeatures, Time2General
from t2g_ros.training.augment import TrainClip
from t2g_ros.training.batches import to_images
from t2g_ros.training.config import TrainConfig
from t2g_ros.training.losses import (
    coarse_log_probabilities,
    dice_loss,
    masked_temporal_consistency,
    presence_loss,
    segmentation_loss,
    symmetric_kl,
)


class Objective:
    """Every frame of a clip is segmented from a memory of the frames before it, as in deployment."""

    def __init__(self, network: Time2General, config: TrainConfig, weights: dict[str, Tensor]) -> None:
        self.network = network
        self.config = config
        self.weights = weights
        fine = space(config.model.labels)
        self.groups = {name: torch.from_numpy(group_matrix(fine, space(name))) for name in weights}

    def __call__(self, clips: list[TrainClip], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and its parts by name.

        Args:
            clips: clips of equal length and size.
            generator: draws which past frames the memories leave out.
        """
        times = torch.stack([torch.from_numpy(c.times_s) for c in clips]).float()  # (B, T)
        images = to_images(clips).contiguous(memory_format=torch.channels_last)
        features = {name: f.unflatten(0, times.shape) for name, f in self.network.encode(images).items()}
        # The first frame has no past to read; frames whose past is left out by chance stand for it.
        first = min(1, times.shape[1] - 1)
        layers = self._decode(features, times, generator, references=slice(first, None))
        parts: dict[str, list[Tensor]] = {}
        for index, clip in enumerate(clips):
            labels = torch.from_numpy(clip.labels[first:]).long()
            scores = [layer.scores[index] for layer in layers]
            self._supervise(labels, clip.space.name, scores, layers[-1].class_logits[index], parts)
        # The newest frame once more, from a memory of other strides.
        again = self._decode(features, times, generator, references=slice(-1, None))[-1].scores[:, 0]
        parts["stride_consistency"] = [
            symmetric_kl(layers[-1].scores[:, -1].log_softmax(1), again.log_softmax(1)).mean()
        ]
        means = {name: torch.stack(values).mean() for name, values in parts.items()}
        c = self.config
        weights = {
            "segmentation": 1.0,
            "dice": c.dice_weight,
            "auxiliary": c.auxiliary_weight,
            "presence": c.presence_weight,
            "consistency": c.consistency_weight,
            "stride_consistency": c.stride_consistency_weight,
        }
        total = torch.stack([weights[name] * value for name, value in means.items()]).sum()
        return total, {name: value.item() for name, value in means.items()}

    def _decode(
        self,
        features: FrameFeatures,
        times: Tensor,
        generator: torch.Generator,
        references: slice,
    ) -> list[DecodedClip]:
        """Segment frames of each clip causally, with a random part of their past.

        Args:
            features: (B, T, ...) of all frames.
            times: (B, T) seconds.
            generator: draws which past frames are left out.
            references: which of the T frames to segment.

        Returns:
            Per decoder layer, scores (B, R, K, h, w) and class logits (B, R, K) of the R references.
        """
        b, t = times.shape
        kept = torch.rand(b, t, t, generator=generator) >= self.config.memory_drop
        if not self.network.config.memory:
            kept = torch.zeros_like(kept)
        valid = (torch.ones(t, t).tril(-1) * kept + torch.eye(t))[:, references]  # (B, R, T)
        offsets = (times[:, None, :] - times[:, :, None])[:, references]  # row r: every frame relative to r
        count = valid.shape[1]
        memory = {
            name: f[:, None].expand(b, count, *f.shape[1:]).flatten(0, 1)
            for name, f in features.items()
            if name != "mask_features"
        }
        mask_features = features["mask_features"][:, references].flatten(0, 1)
        layers = self.network.decode_layers(mask_features, memory, offsets.flatten(0, 1), valid.flatten(0, 1))
        return [DecodedClip(*(x.float().unflatten(0, (b, count)) for x in layer)) for layer in layers]

    def _supervise(
        self,
        labels: Tensor,
        label_space: str,
        layers: list[Tensor],
        class_logits: Tensor,
        parts: dict[str, list[Tensor]],
    ) -> None:
        """Add one clip's losses: labels (R, 2 h, 2 w), per layer scores (R, K, h, w), class logits (R, K)."""
        groups, weights = self.groups[label_space], self.weights[label_space]
        for scores in layers[:-1]:
            log_p = coarse_log_probabilities(scores, groups)
            step = OUTPUT_STRIDE  # the auxiliary losses stay on the scores' own, twice as coarse grid
            parts.setdefault("auxiliary", []).append(segmentation_loss(log_p, labels[:, ::step, ::step], weights))
        raised = F.interpolate(layers[-1], scale_factor=4 / OUTPUT_STRIDE, mode="bilinear", align_corners=False)
        log_p = coarse_log_probabilities(raised, groups)
        parts.setdefault("segmentation", []).append(segmentation_loss(log_p, labels, weights))
        parts.setdefault("dice", []).append(dice_loss(log_p, labels))
        parts.setdefault("consistency", []).append(masked_temporal_consistency(log_p[None], labels[None]))
        parts.setdefault("presence", []).append(presence_loss(class_logits[-1:], labels[None], groups))
