"""The torch engine: CPU and CUDA."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t2g_ros.cores import cores
from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.labels import space
from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.features import FRAME_NAMES, feature_shapes
from t2g_ros.model.scores import fused_resolve
from t2g_ros.model.settling import Settling
from t2g_ros.model.shipped import resolve_model
from t2g_ros.model.time2general import resolve
from t2g_ros.runtimes.base import SLOT_AXIS, Runtime, buffer_shape
from t2g_ros.runtimes.cuda_graphs import Download, Upload, captured
from t2g_ros.runtimes.engine_cache import real_precision

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class TorchRuntime:
    """See `runtimes.base.Runtime`. Lower precision is autocast, so norms and softmax stay in f32.

    On a CUDA device both functions are graphs over tensors that stay where they are, and the host waits once per frame,
    for the mask.
    """

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
        self._cuda = cuda = self._device.type == "cuda"
        if precision not in ("auto", *DTYPES):
            raise RuntimeUnavailable(
                f"runtime torch: precision '{precision}' is not supported; use {', '.join(DTYPES)}"
            )
        if precision == "f16" and not cuda:
            raise RuntimeUnavailable("runtime torch: precision f16 needs a CUDA device; use f32 or bf16 on a CPU")
        if precision == "auto" and not cuda:
            precision = "f32"
        if cuda:
            precision = real_precision(precision, torch.cuda.get_device_capability(self._device), "torch")
        if cuda:
            # f32 has to mean f32: convolutions would take TF32 by default.
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.benchmark = True  # shapes never change
        else:
            torch.set_num_threads(threads or cores())
        network = load_model(path)
        network.config = config = network.config.resized(input_size, clip_frames)
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._dtype = DTYPES[precision]
        self._where: dict[str, Any] = {"dtype": self._dtype, "device": self._device}
        prepare(self._network, config.input_size, self._dtype)
        self.precision = precision
        self.device = torch.cuda.get_device_name(self._device) if cuda else "cpu"
        self.reason = reason
        self.model_name = config.name
        self.labels = space(config.labels)
        self.input_size = config.input_size
        self.slots = config.slots
        self.batch_frames = 4 if cuda else 1  # on a CPU a batch takes longer than its frames one by one
        # Encoders of so many images at once, for all streams.
        self._encoders: dict[int, tuple[Upload, Callable[[], dict[str, Tensor]]]] = {}
        self._allocate()

    def _allocate(self) -> None:
        """Make the clip buffers, and on a CUDA device the decoder that reads them."""
        self._memory = {name: self._buffer(name, shape) for name, shape in feature_shapes(self._network.config).items()}
        self.memory_bytes = sum(b.numel() * b.element_size() for b in self._memory.values())
        if self._cuda:
            self._capture_decoder()
        self.encode(np.zeros((*self.input_size, 3), np.uint8), 0)  # warm-up: kernels are chosen here
        self.decode(0, np.zeros(self.slots, np.float32), np.ones(self.slots, np.float32))

    def _buffer(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The clip buffer of a feature: a view with T after B, as the network takes it, of memory as it is read."""
        if name in ("keys", "values"):  # the heads of a token lie together, as products leave them
            heads, tokens, width = shape
            return torch.zeros((1, self.slots, tokens, heads, width), **self._where).transpose(2, 3)
        buffer = torch.zeros(buffer_shape(name, shape, self.slots), **self._where)
        return buffer.movedim(SLOT_AXIS.get(name, 1), 1)

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
        return torch.cuda.memory_reserved(self._device) if self._cuda else None

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        """See `Runtime.encode`."""
        self.encode_batch(rgb[None], [(self, slot)])

    def encode_batch(self, images: np.ndarray, places: Sequence[tuple[Runtime, int]]) -> None:
        """See `Runtime.encode_batch`; on a CUDA device the first batch of a new size takes longer."""
        with torch.inference_mode(), self._current():
            if self._cuda:
                if len(images) not in self._encoders:
                    self._capture_encoder(len(images))
                upload, encode = self._encoders[len(images)]
                upload.write(images)
                features = encode()
            else:
                features = self._features(torch.from_numpy(images))
            for index, (runtime, slot) in enumerate(places):
                assert isinstance(runtime, TorchRuntime)
                for name, memory in runtime._memory.items():
                    memory[:, slot].copy_(features[name][index])

    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Runtime.decode`."""
        when = np.stack([offsets_s, valid])
        with torch.inference_mode(), self._current():
            if not self._cuda:
                scores, after = self._decoded(self._frame_in(slot), torch.from_numpy(when))
                self._write_back(after, slot)
                labels, confidence = resolve(scores)
                return labels[0].numpy(), confidence[0].numpy()
            self._when.write(when)
            for name, values in self._frame_in(slot).items():
                self._frame[name].copy_(values)
            labels, confidence, after = self._decoder()
            self._write_back(after, slot)
            found = self._download.read(labels, confidence)
            return found[0][0], found[1][0]

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """See `Runtime.decode_scores`."""
        when = torch.from_numpy(np.stack([offsets_s, valid]))
        with torch.inference_mode(), self._current():
            return self._decoded(self._frame_in(slot), when.to(self._device))[0][0].cpu().numpy()

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        """Of (N, height, width, 3) uint8 images on the device."""
        with self._autocast():
            return self._network.encode(images.permute(0, 3, 1, 2).float())

    def _frame_in(self, slot: int) -> dict[str, Tensor]:
        """What is read of the segmented frame alone."""
        return {name: memory[:, slot] for name, memory in self._memory.items() if name in FRAME_NAMES}

    def _decoded(self, frame: dict[str, Tensor], when: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Scores (1, K, height / 4, width / 4) float32, and what of the frame is to be written back.

        `when` is (2, T), offsets and what is valid.
        """
        with self._autocast():
            decoded, after = self._network.segment(frame, self._memory, when[:1], when[1:])
            return decoded.scores.float(), after

    def _write_back(self, after: dict[str, Tensor], slot: int) -> None:
        for name, values in after.items():
            self._memory[name][:, slot].copy_(values)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32)

    def _current(self) -> AbstractContextManager[Any]:
        return torch.cuda.device(self._device) if self._cuda else nullcontext()

    def _capture_encoder(self, count: int) -> None:
        """Make a graph that encodes so many images at once."""
        images = Upload((count, *self.input_size, 3), torch.uint8, self._device)
        what = f"encoding {count} image(s)"
        self._encoders[count] = images, captured(lambda: self._features(images.tensor), what)

    def _capture_decoder(self) -> None:
        """Make a graph that decodes from this stream's memory."""
        with torch.inference_mode(), self._current():
            self._when = when = Upload((2, self.slots), torch.float32, self._device)
            self._frame = frame = {name: values.clone() for name, values in self._frame_in(0).items()}

            to_labels = fused_resolve(self._device)

            def decode() -> tuple[Tensor, Tensor, dict[str, Tensor]]:
                scores, after = self._decoded(frame, when.tensor)
                return *to_labels(scores), after

            self._decoder = captured(decode, "decoding")
            self._download = Download(*self._decoder()[:2])


def prepare(network: nn.Module, input_size: tuple[int, int], dtype: torch.dtype) -> None:
    """Do once what would be done for every frame, for images of one size and arithmetic in one type.

    In a lower type the weights of products and convolutions are brought to it, as autocast would, where a part does not
    settle on it as a whole.
    """
    for module in network.modules():
        if isinstance(module, Settling):
            module.settle(input_size, dtype)
        elif dtype != torch.float32 and isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.to(dtype)
