"""The torch engine: CPU and CUDA."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import torch

from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.labels import space
from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.features import feature_shapes
from t2g_ros.model.shipped import resolve_model
from t2g_ros.model.time2general import resolve
from t2g_ros.runtimes.base import SLOT_AXIS, Runtime, buffer_shape

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class TorchRuntime:
    """See `runtimes.base.Runtime`. Lower precision is autocast, so norms and softmax stay in f32."""

    name = "torch"

    def __init__(
        self,
        model: str | Path,
        *,
        precision: str,
        device: str,
        input_size: tuple[int, int] | None,
        clip_frames: int | None,
        threads: int,
        reason: str,
    ) -> None:
        path = resolve_model(model)
        self._device = self._pick_device(device)
        cuda = self._device.type == "cuda"
        if precision == "f16" and not cuda:
            raise RuntimeUnavailable("runtime torch: precision f16 needs a CUDA device; use f32 or bf16 on a CPU")
        if precision == "auto":
            precision = "f16" if cuda else "f32"
        if cuda:
            # f32 has to mean f32: convolutions would take TF32 by default.
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        else:
            torch.set_num_threads(threads or os.cpu_count() or 1)
        network = load_model(path)
        network.config = config = network.config.resized(input_size, clip_frames)
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = precision
        self.device = torch.cuda.get_device_name(self._device) if cuda else "cpu"
        self.reason = reason
        self.model_name = config.name
        self.labels = space(config.labels)
        self.input_size = config.input_size
        self.slots = config.slots
        self.batch_frames = 4 if cuda else 1  # on a CPU a batch takes longer than its frames one by one
        self._allocate()

    def _allocate(self) -> None:
        """Make the clip buffers."""
        # Views with T after B, as the network takes them.
        self._memory = {
            name: torch.zeros(buffer_shape(name, shape, self.slots), device=self._device).movedim(
                SLOT_AXIS.get(name, 1), 1
            )
            for name, shape in feature_shapes(self._network.config).items()
        }
        self.memory_bytes = sum(b.numel() * b.element_size() for b in self._memory.values())
        self.encode(np.zeros((*self.input_size, 3), np.uint8), 0)  # warm-up: kernels are chosen here
        self.decode(0, np.zeros(self.slots, np.float32), np.ones(self.slots, np.float32))

    def another(self) -> TorchRuntime:
        """See `Runtime.another`."""
        other = copy(self)
        other._allocate()
        return other

    @staticmethod
    def _pick_device(device: str) -> torch.device:
        if device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
            raise RuntimeUnavailable(f"runtime torch: device '{device}': expected auto, cpu, cuda or cuda:N")
        picked, count = torch.device(device), torch.cuda.device_count()
        if picked.type == "cuda" and (picked.index or 0) >= count:
            raise RuntimeUnavailable(
                f"runtime torch: device '{device}': torch {torch.__version__} finds {count} CUDA device(s); use cpu"
            )
        return picked

    @property
    def gpu_memory_bytes(self) -> int | None:
        """See `Runtime.gpu_memory_bytes`."""
        return torch.cuda.memory_reserved(self._device) if self._device.type == "cuda" else None

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, DTYPES[self.precision], enabled=self.precision != "f32")

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        """See `Runtime.encode`."""
        self.encode_batch(rgb[None], [(self, slot)])

    @torch.inference_mode()
    def encode_batch(self, images: np.ndarray, places: Sequence[tuple[Runtime, int]]) -> None:
        """See `Runtime.encode_batch`."""
        batch = torch.from_numpy(images).to(self._device, non_blocking=True).permute(0, 3, 1, 2).float()
        with self._autocast():
            features = self._network.encode(batch)
        for index, (runtime, slot) in enumerate(places):
            assert isinstance(runtime, TorchRuntime)
            for name, memory in runtime._memory.items():
                memory[:, slot].copy_(features[name][index])

    @torch.inference_mode()
    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Runtime.decode`."""
        labels, confidence = resolve(self._scores(slot, offsets_s, valid))
        return labels[0].cpu().numpy(), confidence[0].cpu().numpy()

    @torch.inference_mode()
    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """See `Runtime.decode_scores`."""
        return self._scores(slot, offsets_s, valid)[0].cpu().numpy()

    def _scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> torch.Tensor:
        """(1, K, height / 4, width / 4) float32."""
        frame = {name: memory[:, slot] for name, memory in self._memory.items()}
        times = torch.from_numpy(np.stack([offsets_s, valid])).to(self._device)
        with self._autocast():
            clip = self._network.decode(frame, self._memory, times[:1], times[1:])
        return clip.scores.float()
