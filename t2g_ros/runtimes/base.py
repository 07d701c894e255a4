"""What every inference engine offers: two functions over buffers that it owns and the memory addresses by slot."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from t2g_ros.labels import LabelSpace
from t2g_ros.model.config import ModelConfig


class Runtime(Protocol):
    """An engine with one network loaded, warmed up, and its clip buffers allocated.

    The buffers hold the `FrameFeatures` of `slots` frames on the engine's device. `encode` writes one
    slot, `decode` reads all of them, so nothing is copied or allocated per frame. The network does
    not mind the order of the slots; which frame lies where is the business of `inference.ClipMemory`.
    """

    name: str
    """`torch` or `openvino`."""
    precision: str
    """What the engine really computes in: `f32`, `bf16`, `f16`."""
    device: str
    """Where it runs, with the hardware's name."""
    reason: str
    """Why this runtime was chosen."""
    model_name: str
    labels: LabelSpace
    input_size: tuple[int, int]
    """(height, width) of the images that `encode` takes."""
    slots: int
    """T, the frames that the memory holds."""
    memory_bytes: int
    """Bytes of the clip buffers, fixed from the start."""

    @property
    def gpu_memory_bytes(self) -> int | None:
        """Bytes that the engine holds on the GPU now, None when it runs elsewhere."""

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        """Encode a (height, width, 3) uint8 RGB image of `input_size` into a slot."""

    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Segment the frame in `slot`.

        Args:
            slot: the frame to segment.
            offsets_s: (T,) float32 seconds of each slot's frame relative to the segmented one.
            valid: (T,) float32, 1 for slots that hold a frame of this clip.

        Returns:
            Labels (height / 2, width / 2) and confidence (height / 4, width / 4), uint8, owned by the caller.
        """

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return the class scores that `decode` makes labels of, (K, height / 4, width / 4) float32, the caller's.

        The live node never asks for them, so an engine prepares them at the first call, which may take seconds.
        """


def feature_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of one frame's `FrameFeatures`, without the batch axis, in the order that graphs take and give them."""
    h, w = config.input_size
    tokens = sum((h // s) * (w // s) for s in config.memory_strides)
    shapes: dict[str, tuple[int, ...]] = {
        "mask_features": (h // 4, w // 4, config.width),
        "keys": (config.heads, tokens, config.width // config.heads),
        "values": (config.heads, tokens, config.width // config.heads),
    }
    if config.stability_queries:
        shapes["queries"] = (config.queries, config.width)
    if config.masked_attention:
        shapes["mask_tokens"] = (tokens, config.width)
    if config.pixel_memory:
        windows, seen = (h // 64) * (w // 64), 16 * 16  # model.pixel_memory: windows of 64 x 64 pixels, and their halo
        shapes["pixel_keys"] = (windows, seen, config.pixel_key_width)
        shapes["pixel_values"] = (windows, seen, 4 * config.pixel_value_width)
    return shapes
