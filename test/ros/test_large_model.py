"""A network of frozen encoders in the live node: one weights file is all that it needs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes import load_runtime
from t2g_ros.types import Frame

from .bench import FRAME_NS, START_NS, Bench, NodeProcess, picture, pixels


def test_the_node_s_masks_are_the_offline_ones(
    bench: Bench, start_node: Callable[..., NodeProcess], large_model: Path
) -> None:
    start_node(model=large_model, runtime="torch", precision="f32")
    bench.ready()
    live = [pixels(bench.segment(bench.image(i))) for i in range(4)]
    segmenter = StreamSegmenter(load_runtime(large_model, runtime="torch", precision="f32", threads=1))
    for i, mask in enumerate(live):
        segmentation = segmenter.step(Frame(picture(i), START_NS + i * FRAME_NS))
        assert segmentation is not None
        np.testing.assert_array_equal(mask, segmentation.labels)
    assert len(np.unique(live)) > 2
