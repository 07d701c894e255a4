"""In which types OpenVINO's graphs compute, and take and give features."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.preprocess import PrePostProcessor

from t2g_ros.model.config import ModelConfig
from t2g_ros.model.features import feature_shapes, written_back_names

SHORT = 16
"""Numbers that are multiplied by one at once: few, so that it takes no time. Masks' sides are multiples of it."""


def set_types(floats: ov.Type, name: str, graph: ov.Model, config: ModelConfig) -> None:
    """Let a graph, which will be compiled for this type, compute all in it, and take and give features in it."""
    if name == "decode" and floats != ov.Type.f32:
        _compute_to_the_end(graph)
    _store_features_as(floats, name, graph, config)


def _store_features_as(element: ov.Type, name: str, graph: ov.Model, config: ModelConfig) -> None:
    steps = PrePostProcessor(graph)
    for index in range(len(feature_shapes(config))):
        (steps.output if name == "encode" else steps.input)(index).tensor().set_element_type(element)
    if name == "decode":
        for index in range(2, 2 + len(written_back_names(config))):
            steps.output(index).tensor().set_element_type(element)
    steps.build()


def _compute_to_the_end(graph: ov.Model) -> None:
    """Let `decode` find labels and confidence, too, in the type that it is compiled for.

    The CPU plugin leaves what follows the last convolution or product of a graph in f32. Here that is the raising of
    all scores, which takes as long as memory takes, so half as long in bf16. A product with one as the last step of
    each makes it compute everything before in what was asked for; what goes through it are whole numbers below 256,
    which bf16 holds.
    """
    for index in range(2):
        cast = graph.output(index).get_node().input_value(0).get_node()  # to uint8
        numbers = cast.input_value(0)
        short = ops.reshape(ops.convert(numbers, "f32"), np.array([-1, SHORT]), False)
        product = ops.matmul(short, ops.constant(np.eye(SHORT, dtype=np.float32)), False, False)
        whole = ops.reshape(product, np.array(numbers.get_shape()), False)
        cast.input(0).replace_source_output(whole.output(0))
