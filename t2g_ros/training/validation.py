"""Validation during training: single frames of held-out folders at the model's input size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.labels import remap_table, space
from t2g_ros.model.time2general import Time2General, resolve
from t2g_ros.training.config import ValidationConfig
from t2g_ros.training.datasets import LabelledFolder


class Validation:
    """mIoU on one labelled folder, each image segmented alone (memory holds only itself)."""

    def __init__(self, config: ValidationConfig, base: Path) -> None:
        where = (base / config.path).resolve()
        self.name = f"{where.parent.name}_{where.name}"
        self.space = space(config.labels)
        folder = LabelledFolder(where, self.space, keep=config.keep)
        self.images = folder.images[:: config.every_nth]

    @torch.inference_mode()
    def miou(self, network: Time2General) -> float:
        """Mean IoU in 0..1 over the classes present, at the labels' own resolution."""
        table = remap_table(space(network.config.labels), self.space)
        confusion = ConfusionMatrix(len(self.space))
        height, width = network.config.input_size
        for image in self.images:
            rgb = cv2.resize(image.rgb, (width, height), interpolation=cv2.INTER_LINEAR)
            tensor = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
            scores = network(tensor[:, None], torch.zeros(1, 1)).scores
            labels = resolve(scores)[0][0].numpy()
            size = image.labels.shape[1], image.labels.shape[0]
            labels = np.take(table, labels)
            confusion.update(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8), image.labels)
        return confusion.miou()
