"""What every inference engine offers: two functions over buffers that it owns and the memory addresses by slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from t2g_ros.labels import LabelSpace


class Runtime(Protocol):
    """An engine with one network loaded, warmed up, and its clip buffers allocated.

    The buffers hold the `FrameFeatures` of `slots` frames on the engine's device. `encode` writes one
    slot, `decode` reads all of them, so of a frame only its mask is allocated; with `pixel_write_back` it replaces
    what the segmented frame left in its slot. The network does not mind the order of the slots; which frame lies
    where is the business of `inference.ClipMemory`.

    Streams that share a network have a runtime each, made by `another`, and only one of them computes at a time.
    """

    name: str
    """One of `runtimes.RUNTIMES`."""
    precision: str
    """What the engine really computes in: `f32`, `bf16`, `f16`; `int8` of most of `encode`."""
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
    batch_frames: int
    """For how many frames at once `encode_batch` pays; 1 where it is not faster than `encode` for each of them."""
    memory_bytes: int
    """Bytes of the clip buffers, fixed from the start."""

    @property
    def gpu_memory_bytes(self) -> int | None:
        """Bytes that the engine holds on the GPU now, None when it runs elsewhere."""

    def another(self) -> Runtime:
        """Return a runtime for another stream: of the same network, with clip buffers of its own, warmed up."""

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        """Encode a (height, width, 3) uint8 RGB image of `input_size` into a slot."""

    def encode_batch(self, images: np.ndarray, places: Sequence[tuple[Runtime, int]]) -> None:
        """Encode frames of several streams at once.

        Args:
            images: (N, height, width, 3) uint8 RGB of `input_size`.
            places: N runtimes that share this one's network, each with the slot of its image.
        """

    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Segment the frame in `slot`, once: with `pixel_write_back` it remembers from then on what it has read.

        Args:
            slot: the frame to segment.
            offsets_s: (T,) float32 seconds of each slot's frame relative to the segmented one.
            valid: (T,) float32, 1 for slots that hold a frame of this clip.

        Returns:
            Labels (height / 2, width / 2) and confidence (height / 4, width / 4), uint8, owned by the caller.
        """

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return the class scores that `decode` makes labels of, (K, height / 4, width / 4) float32, the caller's.

        Nothing is written back.

        The live node never asks for them, so an engine prepares them at the first call, which may take seconds.
        """


class OneByOne:
    """What engines have in common for which a batch does not pay."""

    batch_frames = 1

    def encode_batch(self, images: np.ndarray, places: Sequence[tuple[Runtime, int]]) -> None:
        """See `Runtime.encode_batch`."""
        for image, (runtime, slot) in zip(images, places, strict=True):
            runtime.encode(image, slot)


SLOT_AXIS = {"pixel_keys": 2, "pixel_values": 2}
"""Axis of the T slots in the clip buffer of a feature, where it is not the one after B: behind the windows, whose
tokens of all frames are then one run of memory, as the pixels read them."""


def buffer_shape(name: str, shape: tuple[int, ...], slots: int) -> tuple[int, ...]:
    """Shape of the buffer that holds a feature of so many frames, (1, ..., slots, ...); `shape` is without B."""
    axis = SLOT_AXIS.get(name, 1)
    return (1, *shape[: axis - 1], slots, *shape[axis - 1 :])
