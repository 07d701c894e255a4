"""The encoder in int8: `t2g quantize` makes the graph of an engine and puts it beside the weights, where it is found.

NNCF's post-training quantization of the convolutions that take the time: the backbone, the finest level of the pixel
decoder and what the pixel memory keeps of a frame. The coarse levels, which say what things are, and the stability
queries keep their arithmetic: in int8 they cost masks and save nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from t2g_ros.errors import RuntimeUnavailable
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.features import LAYOUT, feature_shapes
from t2g_ros.model.files import sha256

QUANTIZED = ("encoder.", "pixel_decoder.lateral.4", "pixel_decoder.smooth.4", "pixel_memory.")
"""Modules of the network, by how their names begin."""
SUFFIXES = {"openvino": ".xml", "onnx": ".onnx", "tensorrt": ".onnx"}
"""Of the graph, by engine."""
INFO = "made_of"
"""What a graph calls the hash that tells what it was made of."""


def floats_of(precision: str) -> str:
    """The type of all that is not in int8, the features among it, for engines of ONNX graphs."""
    return "f32" if precision == "int8" else precision


def graph_file(weights: Path, size: tuple[int, int], engine: str) -> Path:
    """Where the graph of a network lies for an engine at an input size (height, width)."""
    height, width = size
    return weights.with_name(f"{weights.stem}.int8_{width}x{height}{SUFFIXES[engine]}")


def made_of(weights: Path, config: ModelConfig) -> str:
    """A hash of the weights and of the features that come out, which another version may lay out otherwise."""
    features = f"{LAYOUT} {feature_shapes(config)}"
    return hashlib.sha256(sha256(weights) + features.encode()).hexdigest()


def parts(weights: Path, size: tuple[int, int], engine: str) -> list[Path]:
    """The files of that graph: OpenVINO puts the weights beside it."""
    file = graph_file(weights, size, engine)
    return [file, file.with_suffix(".bin")] if engine == "openvino" else [file]


def command(weights: Path, config: ModelConfig, engine: str) -> str:
    """What makes that graph."""
    height, width = config.input_size
    return f"run t2g quantize --model {weights} --input-size {height}x{width} --runtime {engine}"


def found(weights: Path, config: ModelConfig, engine: str) -> Path:
    """The file of that graph.

    Raises:
        RuntimeUnavailable: there is none for this input size that can be read.
    """
    for file in (files := parts(weights, config.input_size, engine)):
        if not file.is_file() or not os.access(file, os.R_OK):
            problem = "not readable" if file.exists() else "no such file"
            raise RuntimeUnavailable(
                f"precision int8: {file}: {problem}, expected the quantized graph; {command(weights, config, engine)}"
            )
    return files[0]


def quantize(
    graph: Any, images: Sequence[np.ndarray], feed: Callable[[np.ndarray], Any], kept: dict[str, Any], **options: Any
) -> Any:
    """Return a graph with its products in int8.

    Args:
        graph: `encode`, in f32, as an engine reads it.
        images: (h, w, 3) uint8 RGB of the input size; what the ranges of the activations are taken from.
        feed: makes the graph's input of an image.
        kept: what stays as it is, in the words of `nncf.IgnoredScope`.
        options: further ones of `nncf.quantize`.

    Raises:
        RuntimeUnavailable: NNCF is not installed.
    """
    nncf = library()
    return nncf.quantize(
        graph,
        nncf.Dataset(list(images), feed),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(**kept),
        **options,
    )


def library() -> ModuleType:
    """NNCF.

    Raises:
        RuntimeUnavailable: it is not installed.
    """
    try:
        import nncf
    except ImportError as error:
        raise RuntimeUnavailable(
            f"quantization: NNCF cannot be imported ({error}); pip install 't2g_ros[int8]'"
        ) from error
    return nncf
