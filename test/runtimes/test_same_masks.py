"""The engines give the same masks, asserted on frames of real and rendered drives."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.model.time2general import resolve
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.types import NS_PER_S, Frame

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")
REPOSITORY = Path(__file__).parents[2]
SHIPPED = REPOSITORY / "models" / "t2g_tiny.safetensors"
DRIVES = {
    "rendered": (REPOSITORY / "test" / "data" / "drive", 10.0),
    "camvid": (REPOSITORY.parent / "shared" / "data" / "camvid" / "val", 15.0),
}
FRAMES = 6


@pytest.fixture(scope="module", params=list(DRIVES))
def drive(request: pytest.FixtureRequest) -> list[Frame]:
    """A few frames in a row, at true intervals."""
    folder, rate_hz = DRIVES[request.param]
    images = folder / "images" if (folder / "images").is_dir() else folder
    paths = sorted(path for path in images.glob("*") if path.suffix in (".png", ".jpg", ".webp"))[:FRAMES]
    if not paths:
        pytest.skip(f"no frames of the {request.param} drive at {folder}")
    read = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
    return [Frame(rgb, round(i / rate_hz * NS_PER_S)) for i, rgb in enumerate(read)]


@pytest.fixture(scope="module", params=["random_model", "write_back_model", "large_model", "shipped"])
def model(request: pytest.FixtureRequest) -> Path:
    if request.param != "shipped":
        return request.getfixturevalue(request.param)
    if not SHIPPED.is_file():
        pytest.skip(f"no model at {SHIPPED}")
    return SHIPPED


@pytest.fixture(scope="module")
def expected(model: Path, drive: list[Frame]) -> list[np.ndarray]:
    return list(masks(load_runtime(model, runtime="torch", device="cpu", precision="f32"), drive))


def masks(runtime: Runtime, drive: list[Frame]) -> Iterator[np.ndarray]:
    """The masks of a stream, so that the memory takes part too."""
    segmenter = StreamSegmenter(runtime)
    for frame in drive:
        segmentation = segmenter.step(frame)
        assert segmentation is not None
        yield segmentation.model_labels


def agreement(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Share of equal pixels over the whole drive."""
    assert len(np.unique(expected)) > 2  # a mask of one class would agree with anything
    return float(np.mean(np.stack(found) == np.stack(expected)))


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_f32_masks_are_equal(model: Path, drive: list[Frame], expected: list[np.ndarray], name: str) -> None:
    found = masks(load_runtime(model, runtime=name, device="cpu", precision="f32"), drive)
    assert agreement(list(found), expected) >= 0.999


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_bf16_masks_are_nearly_equal(model: Path, drive: list[Frame], expected: list[np.ndarray], name: str) -> None:
    if model != SHIPPED:
        pytest.skip("random weights leave many pixels undecided between classes; only trained ones are held to bf16")
    runtime = load_runtime(model, runtime=name, device="cpu", precision="bf16")
    if runtime.precision != "bf16":
        pytest.skip("this CPU has no native bf16")
    assert agreement(list(masks(runtime, drive)), expected) >= 0.99


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_int8_masks_are_nearly_equal(model: Path, drive: list[Frame], expected: list[np.ndarray], name: str) -> None:
    if model != SHIPPED:
        pytest.skip("only the shipped model has been quantized")
    runtime = load_runtime(model, runtime=name, device="cpu", precision="int8")
    assert runtime.precision == "int8"
    assert agreement(list(masks(runtime, drive)), expected) >= 0.985


@pytest.mark.parametrize("name", ["openvino", "onnx", "torch"])
def test_a_part_of_a_larger_image_is_encoded_as_its_copy_is(random_model: Path, name: str) -> None:
    runtime = load_runtime(random_model, runtime=name, device="cpu", precision="f32")
    height, width = runtime.input_size
    larger = np.random.default_rng(0).integers(0, 256, (height, 2 * width, 3), np.uint8)
    offsets_s, valid = np.zeros(runtime.slots, np.float32), np.eye(1, runtime.slots, dtype=np.float32)[0]
    part, copy = larger[:, 5 : width + 5], larger[:, 5 : width + 5].copy()
    scores = []
    for image in (copy, part):
        runtime.encode(image, 0)
        scores.append(runtime.decode_scores(0, offsets_s, valid))
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize(("name", "least"), [("torch", 1.0), ("openvino", 0.999), ("onnx", 0.999)])
def test_scores_resolve_to_the_labels_of_decode(model: Path, drive: list[Frame], name: str, least: float) -> None:
    runtime = load_runtime(model, runtime=name, device="cpu", precision="f32")
    height, width = runtime.input_size
    offsets_s, valid = np.zeros(runtime.slots, np.float32), np.zeros(runtime.slots, np.float32)
    for slot, frame in enumerate(drive[: runtime.slots - 1]):
        runtime.encode(cv2.resize(frame.rgb, (width, height)), slot)
        offsets_s[slot], valid[slot] = frame.stamp_ns / NS_PER_S, 1
        found, expected = [], []
        for segmented in range(slot + 1):
            times = (offsets_s - offsets_s[segmented]) * valid
            scores = runtime.decode_scores(segmented, times, valid)
            assert scores.shape == (len(runtime.labels), height // 4, width // 4)
            assert scores.dtype == np.float32
            labels, confidence = (t[0].numpy() for t in resolve(torch.from_numpy(scores)[None]))
            expected_labels, expected_confidence = runtime.decode(segmented, times, valid)
            found.append(labels)
            expected.append(expected_labels)
            # A value that lies between two steps may be rounded to either.
            assert np.abs(confidence - expected_confidence.astype(int)).max() <= (0 if name == "torch" else 1)
            kept = scores.copy()
            runtime.decode_scores(segmented, times, np.eye(1, runtime.slots, segmented, np.float32)[0])
            np.testing.assert_array_equal(scores, kept)  # the scores are the caller's
        assert agreement(found, expected) >= least
