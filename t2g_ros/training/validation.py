"""Validation during training, at the model's input size: single frames, or streams through the memory as a node's."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from t2g_ros.drawing import overlay
from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.evaluation.metrics.consistency import VideoConsistency
from t2g_ros.evaluation.metrics.flicker import StableFlicker
from t2g_ros.inference.clip_memory import CLIP_SPAN_S, ClipMemory
from t2g_ros.inference.scaling import to_input
from t2g_ros.labels import IGNORE, remap_table, space
from t2g_ros.model.time2general import FrameFeatures, Time2General, resolve
from t2g_ros.training.config import ValidationConfig
from t2g_ros.training.drives import Drive, labelled_frames, open_footage
from t2g_ros.types import NS_PER_S

MAX_GAP_S = 2.0
"""A longer pause empties it, as the node's by default."""
WINDOW = 8
"""Frames of a window of mVC."""


class Validation:
    """Figures on labelled frames that are not trained on, each process having its share of them.

    Args:
        config: which frames, and whether each alone or as streams.
        base: folder that relative paths start from.
        labels: name of the network's label space.
        fabric: shares frames among the processes and adds their counts.

    Raises:
        InputError: the data is not as described.
    """

    def __init__(self, config: ValidationConfig, base: Path, labels: str, fabric: Fabric) -> None:
        self.config = config
        self.fabric = fabric
        where = (base / config.path).resolve()
        self.name = f"{where.parent.name}_{where.name}" + ("_stream" if config.stream else "")
        self.footage = open_footage(config, base, space(labels), video=config.stream)
        self.table = remap_table(space(labels), self.footage.space)
        self.frames = labelled_frames(self.footage.drives)[:: config.every_nth]
        self.picture: np.ndarray | None = None
        """The first frame of the latest figures under its predicted and under its true classes, (H, 2 W, 3)."""

    @torch.inference_mode()
    def figures(self, network: Time2General) -> dict[str, float]:
        """Return shares of 1 at the labels' own resolution: mIoU and, of streams, mVC8 and label-stable flicker."""
        rank, processes = self.fabric.global_rank, self.fabric.world_size
        counts = _Counts(len(self.footage.space))
        self.picture = None
        if self.config.stream:
            for drive in self.footage.drives[rank::processes]:
                self._stream(network, drive, counts)
        else:
            for drive, index in self.frames[rank::processes]:
                rgb, truth = drive.load(index)
                features = network.encode(self._image(network, rgb))
                self._count(network, features, [features], np.zeros(1), np.ones(1), rgb, truth, counts)
        counts.add_up(self.fabric)
        return counts.figures(video=self.config.stream)

    def _stream(self, network: Time2General, drive: Drive, counts: _Counts) -> None:
        """Run a drive, or one frame in so many of it, through the memory."""
        memory = ClipMemory(network.config.slots, CLIP_SPAN_S)
        held: dict[int, FrameFeatures] = {}
        counts.new_video()
        for index in range(0, len(drive.times_s), self.config.every_nth):
            stamp_ns = round(drive.times_s[index] * NS_PER_S)
            newest = memory.newest_stamp_ns
            if newest is not None and not 0 < stamp_ns - newest <= MAX_GAP_S * NS_PER_S:
                memory.clear()
                counts.cut()
            rgb, truth = drive.load(index)
            slot = memory.claim(stamp_ns)
            held[slot] = network.encode(self._image(network, rgb))
            offsets_s, valid = memory.view(slot)
            # All slots, also those that are not valid, as an engine sums over them: it rounds the same.
            clip = [held.get(s, held[slot]) for s in range(memory.slots)]
            self._count(network, held[slot], clip, offsets_s, valid, rgb, truth, counts)

    def _image(self, network: Time2General, rgb: np.ndarray) -> Tensor:
        rgb = to_input(rgb, network.config.input_size)
        return self.fabric.to_device(torch.from_numpy(rgb)).permute(2, 0, 1)[None].float()

    def _count(
        self,
        network: Time2General,
        frame: FrameFeatures,
        clip: list[FrameFeatures],
        offsets_s: np.ndarray,
        valid: np.ndarray,
        rgb: np.ndarray,
        truth: np.ndarray,
        counts: _Counts,
    ) -> None:
        """Segment one frame from the clip in memory and compare it with its labels, if it has any."""
        memory = {name: torch.stack([features[name] for features in clip], dim=1) for name in frame}
        times = torch.from_numpy(np.stack([offsets_s, valid])).to(frame["mask_features"])
        decoded, after = network.segment(frame, memory, times[:1], times[1:])
        frame.update(after)
        labels = np.take(self.table, resolve(decoded.scores)[0][0].cpu().numpy())
        size = truth.shape[1], truth.shape[0]
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8)
        known = bool((truth != IGNORE).any())
        counts.add(labels, truth if known else None)
        if self.picture is None and known:
            shown = [overlay(rgb, ids, self.footage.space) for ids in (labels, truth)]
            self.picture = np.concatenate(shown, axis=1)


class _Counts:
    """What the figures are made of; the counts of several processes add up."""

    def __init__(self, classes: int) -> None:
        self.confusion = ConfusionMatrix(classes)
        self.consistency = VideoConsistency((WINDOW,))
        self.flicker = StableFlicker()

    def add(self, labels: np.ndarray, truth: np.ndarray | None) -> None:
        """Take in the next frame; None where it has no labels."""
        if truth is not None:
            self.confusion.update(labels, truth)
        self.consistency.update(labels, truth)
        self.flicker.update(labels, truth)

    def cut(self) -> None:
        """Compare no frame with one before this point."""
        self.consistency.cut()
        self.flicker.cut()

    def new_video(self) -> None:
        """Let the next frame be the first of another video."""
        self.consistency.new_video()
        self.flicker.cut()

    def add_up(self, fabric: Fabric) -> None:
        """Sum over processes."""
        self.new_video()
        means = [self.consistency.past_videos[WINDOW], self.flicker.pairs]
        flat = np.concatenate(
            [self.confusion.matrix.ravel().astype(np.float64), *([mean.total, mean.count] for mean in means)]
        )
        total = cast(Tensor, fabric.all_reduce(fabric.to_device(torch.from_numpy(flat)), reduce_op="sum")).cpu().numpy()
        cells = self.confusion.matrix.size
        self.confusion.matrix = total[:cells].reshape(self.confusion.matrix.shape).astype(np.int64)
        for mean, (value, count) in zip(means, total[cells:].reshape(-1, 2), strict=True):
            mean.total, mean.count = float(value), int(count)

    def figures(self, *, video: bool) -> dict[str, float]:
        """See `Validation.figures`; a figure that nothing was found for is left out."""
        found = {"miou": self.confusion.miou()}
        if video:
            found |= {f"mvc{WINDOW}": self.consistency.mvc(WINDOW), "flicker": self.flicker.flicker()}
        return {name: value for name, value in found.items() if value == value}
