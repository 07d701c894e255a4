"""Streams that share a network: each has the masks that it has alone, and costs its clip buffers only."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes import Runtime, load_runtime, runtimes_for
from t2g_ros.types import NS_PER_S, Frame

ENGINES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime", "tensorrt": "tensorrt"}
"""Each with the package that it needs."""
STREAMS = 3
FRAMES = 7


@pytest.fixture(scope="module", params=list(ENGINES))
def runtime(
    request: pytest.FixtureRequest, write_back_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Runtime:
    """An engine whose weights file is gone: whoever wants another network has to fail."""
    pytest.importorskip(ENGINES[request.param])
    if request.param == "tensorrt" and not torch.cuda.is_available():
        pytest.skip("TensorRT needs a GPU")
    folder = tmp_path_factory.mktemp("weights")
    shutil.copytree(write_back_model.parent, folder, dirs_exist_ok=True)
    runtime = load_runtime(folder / write_back_model.name, runtime=request.param, precision="f32", threads=1)
    runtime.decode_scores(0, np.zeros(runtime.slots, np.float32), np.ones(runtime.slots, np.float32))
    shutil.rmtree(folder)
    return runtime


def frames(stream: int) -> Iterator[Frame]:
    """What one camera sees, at a rate of its own."""
    for index in range(FRAMES):
        rgb = np.random.default_rng([stream, index]).integers(0, 256, (96, 160, 3), np.uint8)
        yield Frame(rgb, round(index * NS_PER_S / (10 + stream)))


def masks(segmenter: StreamSegmenter, frames: Iterator[Frame]) -> Iterator[np.ndarray]:
    for frame in frames:
        segmentation = segmenter.step(frame)
        assert segmentation is not None
        yield segmentation.labels


def test_interleaved_streams_have_the_masks_that_each_has_alone(runtime: Runtime) -> None:
    alone = [list(masks(StreamSegmenter(runtime), frames(stream))) for stream in range(STREAMS)]
    runtimes = [runtime, *(runtime.another() for _ in range(STREAMS - 1))]
    streams = [masks(StreamSegmenter(each), frames(stream)) for stream, each in enumerate(runtimes)]
    together = list(zip(*streams, strict=True))
    for stream in range(STREAMS):
        found = [step[stream] for step in together]
        np.testing.assert_array_equal(found, alone[stream])
        assert len(np.unique(found)) > 2
    # Streams that see different things would not notice if they had one mask in common.
    assert (alone[0][-1] != alone[1][-1]).any()


def test_scores_are_of_the_streams_own_memory(runtime: Runtime) -> None:
    other = runtime.another()
    offsets_s, valid = np.zeros(runtime.slots, np.float32), np.eye(1, runtime.slots, dtype=np.float32)[0]
    images = np.random.default_rng(0).integers(0, 256, (2, *runtime.input_size, 3), np.uint8)
    runtime.encode(images[0], 0)
    first = runtime.decode_scores(0, offsets_s, valid)
    other.encode(images[1], 0)
    second = other.decode_scores(0, offsets_s, valid)
    np.testing.assert_array_equal(runtime.decode_scores(0, offsets_s, valid), first)
    assert (first != second).any()


def test_a_mask_is_written_back_and_scores_are_not(runtime: Runtime) -> None:
    offsets_s, valid = np.zeros(runtime.slots, np.float32), np.eye(1, runtime.slots, dtype=np.float32)[0]
    runtime.encode(np.random.default_rng(0).integers(0, 256, (*runtime.input_size, 3), np.uint8), 0)
    before, again = (runtime.decode_scores(0, offsets_s, valid) for _ in range(2))
    np.testing.assert_array_equal(again, before)
    runtime.decode(0, offsets_s, valid)
    assert np.abs(runtime.decode_scores(0, offsets_s, valid) - before).max() > 0.01


def test_another_stream_has_as_much_memory_and_the_same_engine(runtime: Runtime) -> None:
    other = runtime.another()
    for key in ("name", "precision", "device", "model_name", "labels", "input_size", "slots", "memory_bytes"):
        assert getattr(other, key) == getattr(runtime, key)


def test_a_batch_puts_each_image_into_its_streams_memory(runtime: Runtime) -> None:
    runtimes = runtimes_for(runtime, STREAMS)
    offsets_s, valid = np.zeros(runtime.slots, np.float32), np.eye(1, runtime.slots, 2, dtype=np.float32)[0]
    images = np.random.default_rng(0).integers(0, 256, (STREAMS, *runtime.input_size, 3), np.uint8)
    expected = []
    for each, image in zip(runtimes, images, strict=True):
        each.encode(image, 2)
        expected.append(each.decode_scores(2, offsets_s, valid))
        each.encode(np.zeros_like(image), 2)
    runtime.encode_batch(images, [(each, 2) for each in runtimes])
    found = [each.decode_scores(2, offsets_s, valid) for each in runtimes]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert np.abs(expected[0] - expected[1]).max() > 0.1
