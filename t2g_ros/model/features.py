"""What is kept of a frame, by name and shape. Without torch, since engines that need none allocate by it."""

from __future__ import annotations

from math import prod

from t2g_ros.model.config import ModelConfig
from t2g_ros.model.windows import REACH, STRIDE, WINDOW

FRAME_NAMES = ("mask_features", "pixel_queries", "pixel_present")
"""What is read of the segmented frame alone; all else is the memory, which is read of every frame."""

LAYOUT = 3
"""To be raised when what a feature holds lies otherwise in it, since graphs that were quantized give the old one."""


def feature_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of one frame's `FrameFeatures`, without the batch axis, in the order that graphs take and give them."""
    h, w = config.input_size
    shapes: dict[str, tuple[int, ...]] = {"mask_features": (h // 4, w // 4, config.width)}
    windows = (h // (STRIDE * WINDOW[0])) * (w // (STRIDE * WINDOW[1]))
    if config.pixel_memory:
        shapes["pixel_queries"] = (windows, prod(WINDOW), config.pixel_key_width)
        shapes["pixel_present"] = (windows, prod(WINDOW), 4 * config.pixel_value_width)
    tokens = sum((h // s) * (w // s) for s in config.memory_strides)
    shapes["keys"] = shapes["values"] = (config.heads, tokens, config.width // config.heads)
    if config.stability_queries:
        shapes["queries"] = (config.queries, config.width)
    if config.masked_attention:
        shapes["mask_tokens"] = (tokens, config.width)
    if config.pixel_memory:
        shapes["pixel_keys"] = (windows, prod(REACH), config.pixel_key_width)
        shapes["pixel_values"] = (windows, prod(REACH), 4 * config.pixel_value_width)
    return shapes


def frame_names(config: ModelConfig) -> list[str]:
    """Names of what `decode` reads of the segmented frame alone, in the order of `feature_shapes`."""
    return [name for name in feature_shapes(config) if name in FRAME_NAMES]


def written_back_names(config: ModelConfig) -> dict[str, str]:
    """What `decode` gives of the segmented frame beside its mask: name of the output -> name of what it replaces."""
    return {"pixel_values_after": "pixel_values"} if config.pixel_write_back else {}


def memory_names(config: ModelConfig) -> list[str]:
    """Names of what `decode` reads of every frame in memory, in the order of `feature_shapes`."""
    return [name for name in feature_shapes(config) if name not in FRAME_NAMES]
