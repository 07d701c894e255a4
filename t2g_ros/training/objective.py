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
        features = FrameFeatures(*(f.unflatten(0, times.shape) for f in self.network.encode(images)))
        layers = self._decode(features, times, generator)
        parts: dict[str, list[Tensor]] = {}
        for index, clip in enumerate(clips):
            self._supervise(clip, [layer.scores[index] for layer in layers], layers[-1].class_logits[index], parts)
        again = self._decode(features, times, generator)[-1].scores.flatten(0, 1)
        first = layers[-1].scores.flatten(0, 1)
        parts["stride_consistency"] = [symmetric_kl(first.log_softmax(1), again.log_softmax(1)).mean()]
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

    def _decode(self, features: FrameFeatures, times: Tensor, generator: torch.Generator) -> list[DecodedClip]:
        """Segment each of the T frames causally, with a random part of its past: scores (B, T, K, h, w)."""
        b, t = times.shape
        past = torch.ones(t, t).tril(-1)
        kept = torch.rand(b, t, t, generator=generator) >= self.config.memory_drop
        valid = (past * kept + torch.eye(t)).flatten(0, 1)  # (B*T, T)
        offsets = (times[:, None, :] - times[:, :, None]).flatten(0, 1)  # row r: every frame relative to r

        def repeat(x: Tensor) -> Tensor:
            return x[:, None].expand(b, t, *x.shape[1:]).flatten(0, 1)

        layers = self.network.decode_layers(
            features.mask_features.flatten(0, 1),
            repeat(features.keys),
            repeat(features.values),
            repeat(features.queries),
            offsets,
            valid,
        )
        return [DecodedClip(*(x.float().unflatten(0, (b, t)) for x in layer)) for layer in layers]

    def _supervise(
        self, clip: TrainClip, layers: list[Tensor], class_logits: Tensor, parts: dict[str, list[Tensor]]
    ) -> None:
        """Add one clip's losses; `layers` are scores (T, K, h, w), `class_logits` (T, K)."""
        labels = torch.from_numpy(clip.labels).long()
        groups, weights = self.groups[clip.space.name], self.weights[clip.space.name]
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
