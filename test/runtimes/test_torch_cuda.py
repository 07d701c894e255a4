"""The torch engine on a CUDA device: the masks of f32 on the CPU, out of graphs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.types import NS_PER_S, Frame

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

REPOSITORY = Path(__file__).parents[2]
SHIPPED = REPOSITORY / "models" / "t2g_tiny.safetensors"
DRIVE = REPOSITORY / "test" / "data" / "drive" / "images"
LEAST = {"f32": 0.999, "f16": 0.99, "bf16": 0.99}


@pytest.fixture(scope="module")
def drive() -> list[Frame]:
    read = [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in sorted(DRIVE.iterdir())[:6]]
    return [Frame(rgb, round(i / 10.0 * NS_PER_S)) for i, rgb in enumerate(read)]


def masks(runtime: Runtime, drive: list[Frame], lag: int = 0) -> Iterator[np.ndarray]:
    segmenter = StreamSegmenter(runtime, lag=lag)
    for frame in drive:
        segmentation = segmenter.step(frame)
        if segmentation is not None:
            yield segmentation.model_labels


@pytest.mark.parametrize("precision", list(LEAST))
@pytest.mark.parametrize("lag", [0, 2])
def test_masks_are_those_of_the_cpu(
    drive: list[Frame], precision: str, lag: int, caplog: pytest.LogCaptureFixture
) -> None:
    expected = list(masks(load_runtime(SHIPPED, runtime="torch", device="cpu", precision="f32"), drive, lag))
    with caplog.at_level(logging.WARNING):
        runtime = load_runtime(SHIPPED, runtime="torch", device="cuda", precision=precision)
    assert "without a CUDA graph" not in caplog.text
    assert runtime.precision == precision
    found = list(masks(runtime, drive, lag))
    assert len(found) == len(drive) - lag
    assert np.mean(np.stack(found) == np.stack(expected)) >= LEAST[precision]
    assert runtime.gpu_memory_bytes


def test_the_large_networks_are_captured_too(large_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        runtime = load_runtime(large_model, runtime="torch", device="cuda", precision="f16")
    assert "without a CUDA graph" not in caplog.text
    image = np.random.default_rng(0).integers(0, 256, (*runtime.input_size, 3), np.uint8)
    offsets_s, valid = np.zeros(runtime.slots, np.float32), np.eye(1, runtime.slots, dtype=np.float32)[0]
    runtime.encode(image, 0)
    labels, _ = runtime.decode(0, offsets_s, valid)
    runtime.encode(255 - image, 1)  # elsewhere
    np.testing.assert_array_equal(runtime.decode(0, offsets_s, valid)[0], labels)


def test_masks_of_the_large_networks_are_those_of_the_cpu(drive: list[Frame], large_model: Path) -> None:
    expected = list(masks(load_runtime(large_model, runtime="torch", device="cpu", precision="f32"), drive))
    found = list(masks(load_runtime(large_model, runtime="torch", device="cuda", precision="f32"), drive))
    assert np.mean(np.stack(found) == np.stack(expected)) >= LEAST["f32"]


def test_images_that_follow_each_other_at_once_do_not_mix(random_model: Path) -> None:
    runtime = load_runtime(random_model, runtime="torch", device="cuda", precision="f32")
    images = np.random.default_rng(0).integers(0, 256, (runtime.slots, *runtime.input_size, 3), np.uint8)
    alone = []
    for slot, image in enumerate(images):
        offsets_s, valid = np.zeros(runtime.slots, np.float32), np.eye(1, runtime.slots, slot, dtype=np.float32)[0]
        runtime.encode(image, slot)
        alone.append(runtime.decode_scores(slot, offsets_s, valid))
    for slot, image in enumerate(images):
        runtime.encode(image, slot)  # the host does not wait between these
    for slot, expected in enumerate(alone):
        valid = np.eye(1, runtime.slots, slot, dtype=np.float32)[0]
        np.testing.assert_array_equal(runtime.decode_scores(slot, np.zeros(runtime.slots, np.float32), valid), expected)
