"""The network as two pure functions: shapes, what the decoder may and may not depend on, and `resolve`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.features import feature_shapes
from t2g_ros.model.time2general import FrameFeatures, Time2General, resolve

TIMES_S = torch.tensor([[0.0, 0.1, 0.25, 0.3, 0.4]])
T = TIMES_S.shape[1]


@pytest.fixture(scope="module", params=["random_model", "write_back_model", "large_model"])
def network(request: pytest.FixtureRequest) -> Time2General:
    return load_model(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def clip(network: Time2General) -> Tensor:
    """(1, T, 3, H, W) of smooth random images that resemble their neighbours."""
    generator = torch.Generator().manual_seed(1)
    height, width = network.config.input_size
    coarse = torch.rand(T + 1, 3, height // 16, width // 16, generator=generator)
    frames = coarse[:1] + 0.5 * coarse[1:]
    return torch.nn.functional.interpolate(frames, size=(height, width), mode="bilinear")[None] * 170


@pytest.fixture(scope="module")
def features(network: Time2General, clip: Tensor) -> FrameFeatures:
    """Every frame of the clip encoded on its own, (1, T, ...)."""
    with torch.inference_mode():
        frames = [network.encode(clip[:, t]) for t in range(T)]
    return {name: torch.stack([frame[name] for frame in frames], dim=1) for name in frames[0]}


def decode(network: Time2General, f: FrameFeatures, offsets_s: Tensor, valid: Tensor, reference: int = -1) -> Tensor:
    with torch.inference_mode():
        return network.decode({name: field[:, reference] for name, field in f.items()}, f, offsets_s, valid).scores


def decoded_before(network: Time2General, f: FrameFeatures, t: int, lag: int) -> FrameFeatures:
    """What is in memory once frame `t` was segmented, with `lag` frames after it in memory."""
    held, frame = {name: field.clone() for name, field in f.items()}, {name: field[:, t] for name, field in f.items()}
    until_then = torch.arange(T)[None] <= t + lag
    with torch.inference_mode():
        _, after = network.segment(frame, held, TIMES_S - TIMES_S[:, t, None], until_then.float())
    assert after
    for name, field in after.items():
        held[name][:, t] = field
    return held


def offsets_to_last() -> Tensor:
    return TIMES_S - TIMES_S[:, -1:]


def differing(a: Tensor, b: Tensor) -> float:
    """Share of pixels whose label differs."""
    return float((resolve(a)[0] != resolve(b)[0]).float().mean())


def test_encode_gives_the_shapes_that_engines_allocate(network: Time2General, clip: Tensor) -> None:
    with torch.inference_mode():
        encoded = network.encode(clip[0])
    expected = feature_shapes(network.config)
    assert {name: tuple(value.shape) for name, value in encoded.items()} == {
        name: (T, *shape) for name, shape in expected.items()
    }


def test_decode_and_resolve_give_stride_4_scores_and_stride_2_labels(
    network: Time2General, features: FrameFeatures
) -> None:
    height, width = network.config.input_size
    scores = decode(network, features, offsets_to_last(), torch.ones(1, T))
    assert scores.shape == (1, 19, height // 4, width // 4)
    labels, confidence = resolve(scores)
    assert labels.shape == (1, height // 2, width // 2)
    assert confidence.shape == (1, height // 4, width // 4)


def test_a_frame_is_encoded_the_same_in_any_company(
    network: Time2General, clip: Tensor, features: FrameFeatures
) -> None:
    with torch.inference_mode():
        together = network.encode(clip[0])
    for name, batched in together.items():
        torch.testing.assert_close(features[name][0], batched, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("reference", [-1, 2])
def test_frame_by_frame_equals_the_whole_clip(
    network: Time2General, clip: Tensor, features: FrameFeatures, reference: int, request: pytest.FixtureRequest
) -> None:
    with torch.inference_mode():
        whole = network(clip, TIMES_S, reference).scores
    for t in range(reference % T if network.config.pixel_write_back else 0):
        features = decoded_before(network, features, t, lag=T - 1 - reference % T)
    streamed = decode(network, features, TIMES_S - TIMES_S[:, reference, None], torch.ones(1, T), reference)
    torch.testing.assert_close(streamed, whole, atol=1e-4, rtol=0)
    if network.config.pixel_write_back and reference:
        forgetful = load_model(request.getfixturevalue("write_back_model"))
        forgetful.config = replace(forgetful.config, pixel_write_back=False)
        with torch.inference_mode():
            assert (forgetful(clip, TIMES_S, reference).scores - whole).abs().mean() > 0.01


def test_a_class_s_bias_is_in_its_scores(random_model: Path) -> None:
    network = load_model(random_model)
    image = torch.rand(1, 3, *network.config.input_size, generator=torch.Generator().manual_seed(2)) * 255
    with torch.inference_mode():
        frame = network.encode(image)
        alone = frame, {name: of[:, None] for name, of in frame.items()}, torch.zeros(1, 1), torch.ones(1, 1)
        before = network.decode(*alone).scores
        network.class_bias[5] += 3.0
        after = network.decode(*alone).scores
    torch.testing.assert_close(after[:, 5] - before[:, 5], torch.full_like(before[:, 5], 3.0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after[:, 6:], before[:, 6:])


def test_only_time_differences_matter(network: Time2General, clip: Tensor) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(network(clip, TIMES_S).scores, network(clip, TIMES_S + 64).scores, atol=1e-3, rtol=0)


def test_what_an_invalid_slot_holds_changes_nothing(network: Time2General, features: FrameFeatures) -> None:
    valid = torch.tensor([[0.0, 1.0, 0.0, 1.0, 1.0]])
    reference = decode(network, features, offsets_to_last(), valid)
    changed = {name: field.clone() for name, field in features.items()}
    for field in changed.values():
        field[:, [0, 2]] = 37.0
    offsets = offsets_to_last()
    offsets[:, [0, 2]] = 1234.5
    torch.testing.assert_close(decode(network, changed, offsets, valid), reference, atol=1e-5, rtol=0)
    held = [1, 3, 4]
    fewer = {name: field[:, held] for name, field in features.items()}
    only_valid = decode(network, fewer, offsets_to_last()[:, held], torch.ones(1, 3))
    torch.testing.assert_close(only_valid, reference, atol=1e-4, rtol=0)


def test_what_a_valid_slot_holds_matters(network: Time2General, features: FrameFeatures) -> None:
    everything = decode(network, features, offsets_to_last(), torch.ones(1, T))
    alone = decode(network, features, offsets_to_last(), torch.tensor([[0.0, 0, 0, 0, 1]]))
    assert differing(everything, alone) > 0.01


def test_the_order_of_the_slots_does_not_matter(network: Time2General, features: FrameFeatures) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    valid = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0]])
    shuffled = {name: field[:, order] for name, field in features.items()}
    torch.testing.assert_close(
        decode(network, shuffled, offsets_to_last()[:, order], valid[:, order], reference=2),
        decode(network, features, offsets_to_last(), valid),
        atol=1e-4,
        rtol=0,
    )


def test_true_seconds_matter(network: Time2General, features: FrameFeatures) -> None:
    at_10_hz, at_2_hz, backwards = (
        decode(network, features, scale * offsets_to_last(), torch.ones(1, T)) for scale in (1, 5, -1)
    )
    assert differing(at_10_hz, at_2_hz) > 0.01
    assert differing(at_10_hz, backwards) > 0.01
    # A jitter of a millisecond must not.
    jittered = decode(network, features, offsets_to_last() + 1e-3 * torch.tensor([1, -1, 1, -1, 0]), torch.ones(1, T))
    assert differing(at_10_hz, jittered) < 0.01


def test_resolve_equals_raising_and_comparing_pixel_by_pixel() -> None:
    generator = torch.Generator().manual_seed(2)
    batch, classes, h, w = 2, 4, 3, 5
    scores = torch.randn(batch, classes, h, w, generator=generator) * 3
    labels, confidence = resolve(scores)
    assert labels.dtype == confidence.dtype == torch.uint8
    s = scores.double().numpy()

    def raised(b: int, c: int, y: int, x: int) -> float:
        """Bilinear sample of the centre of stride-2 pixel (y, x) in the stride-4 grid, edges repeated."""
        fy, fx = np.clip((y + 0.5) / 2 - 0.5, 0, h - 1), np.clip((x + 0.5) / 2 - 0.5, 0, w - 1)
        y0, x0 = int(fy), int(fx)
        y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
        ay, ax = fy - y0, fx - x0
        top = s[b, c, y0, x0] * (1 - ax) + s[b, c, y0, x1] * ax
        return top * (1 - ay) + (s[b, c, y1, x0] * (1 - ax) + s[b, c, y1, x1] * ax) * ay

    for b in range(batch):
        for y, x in np.ndindex(2 * h, 2 * w):
            assert labels[b, y, x] == int(np.argmax([raised(b, c, y, x) for c in range(classes)]))
        for y, x in np.ndindex(h, w):
            e = np.exp(s[b, :, y, x] - s[b, :, y, x].max())
            assert abs(int(confidence[b, y, x]) - 255 * e.max() / e.sum()) <= 0.51


def test_confidence_reaches_from_a_guess_to_certain() -> None:
    scores = torch.zeros(1, 19, 1, 2)
    scores[0, 3, 0, 1] = 1e4
    assert resolve(scores)[1].flatten().tolist() == [round(255 / 19), 255]
