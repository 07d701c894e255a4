"""The pixel decoder of the large models, held against the one of `transformers`' Mask2Former."""

import os

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
)

from t2g_ros.model.deformable_attention import DeformableAttention, fused_sampling, sampled_apart, token_places
from t2g_ros.model.deformable_decoder import DeformablePixelDecoder

WIDTH, HEADS, POINTS = 64, 4, 3
CHANNELS = {4: 8, 8: 12, 16: 16, 32: 20}
SIZE = (64, 192)
SIZES = [(2, 6), (4, 12), (8, 24)]
NAMES = {
    "input_projections.0": "project.32",
    "input_projections.1": "project.16",
    "input_projections.2": "project.8",
    "encoder.layers": "layers",
    "self_attn_layer_norm": "norms.0",
    "final_layer_norm": "norms.1",
    "self_attn.": "attention.",
    "sampling_offsets": "offsets",
    "attention_weights": "weights",
    "value_proj": "value",
    "output_proj": "out",
    "fc1": "feed_forward.0",
    "fc2": "feed_forward.2",
    "mask_projection": "mask",
    "adapter_1": "lateral",
    "layer_1": "smooth",
    "level_embed": "level",
}
"""What `transformers` calls what we call otherwise."""


def copy_weights(theirs: nn.Module, ours: nn.Module) -> None:
    """Randomize the weights of one and give them to the other."""
    torch.manual_seed(0)
    state = {}
    for key, value in theirs.state_dict().items():
        nn.init.normal_(value, std=0.2)
        for name, our_name in NAMES.items():
            key = key.replace(name, our_name)
        state[key] = value
    ours.load_state_dict(state)


def test_attention_equals_that_of_transformers() -> None:
    theirs = Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention(WIDTH, HEADS, len(SIZES), POINTS)
    ours = DeformableAttention(WIDTH, HEADS, len(SIZES), POINTS)
    copy_weights(theirs, ours)
    tokens = torch.randn(2, sum(h * w for h, w in SIZES), WIDTH)
    positions, places = torch.randn_like(tokens[0]), token_places(SIZES, torch.device("cpu"))
    with torch.no_grad():
        expected, _ = theirs(
            tokens,
            encoder_hidden_states=tokens,
            position_embeddings=positions[None],
            reference_points=places[None, :, None].expand(2, -1, len(SIZES), -1),
            spatial_shapes_list=SIZES,
        )
        found = ours(tokens + positions, tokens, places, SIZES)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_s_kernel_samples_the_same() -> None:
    pytest.importorskip("triton")
    device, m = torch.device("cuda"), sum(h * w for h, w in SIZES)
    torch.manual_seed(0)
    values = torch.randn(2, m, HEADS, WIDTH // HEADS)
    offsets = torch.randn(2, m, HEADS, len(SIZES), POINTS, 2) * 3  # some lie beyond the border
    logits = torch.randn(2, m, HEADS, len(SIZES) * POINTS)
    inputs = values, offsets, logits, token_places(SIZES, torch.device("cpu"))
    sample = fused_sampling(device)
    assert sample is not sampled_apart
    found = sample(*(x.to(device) for x in inputs), SIZES)
    torch.testing.assert_close(found.cpu(), sampled_apart(*inputs, SIZES), atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(
    not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs a CUDA device, or Triton with TRITON_INTERPRET=1",
)
@pytest.mark.parametrize("shape", [(2, WIDTH, 5, 27), (1, 256, 16, 32)])
def test_the_gpu_s_kernels_normalize_the_same(shape: tuple[int, ...]) -> None:
    from t2g_ros.model.kernels.group_norm import normalized

    torch.manual_seed(0)
    maps, weight, bias = torch.randn(shape) * 3 + 20, *torch.randn(2, shape[1])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = normalized(maps.to(device), 32, weight.to(device), bias.to(device), 1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.cpu(), F.group_norm(maps, 32, weight, bias, 1e-5), atol=2e-5, rtol=1e-4)


@pytest.fixture
def stages() -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {s: torch.randn(2, c, SIZE[0] // s, SIZE[1] // s, generator=generator) for s, c in CHANNELS.items()}


def test_the_decoder_equals_that_of_transformers(stages: dict[int, Tensor]) -> None:
    config = Mask2FormerConfig(
        feature_size=WIDTH,
        mask_feature_size=WIDTH,
        encoder_layers=2,
        num_attention_heads=HEADS,
        encoder_feedforward_dim=4 * WIDTH,
        dropout=0.0,
    )
    theirs = Mask2FormerPixelDecoder(config, list(CHANNELS.values())).eval()
    ours = DeformablePixelDecoder(CHANNELS, WIDTH, layers=2, heads=HEADS, points=4).eval()
    copy_weights(theirs, ours)
    with torch.no_grad():
        expected = theirs(list(stages.values()))
        mask_features, pyramid = ours(stages, SIZE)
    torch.testing.assert_close(mask_features, expected.mask_features, atol=1e-4, rtol=1e-4)
    for stride, level in zip((32, 16, 8), expected.multi_scale_features, strict=True):
        torch.testing.assert_close(pyramid[stride], level, atol=1e-4, rtol=1e-4)
    assert pyramid[4].shape == (2, WIDTH, SIZE[0] // 4, SIZE[1] // 4)


def test_a_head_starts_with_looking_into_a_direction_of_its_own() -> None:
    attention = DeformableAttention(WIDTH, HEADS, len(SIZES), POINTS)
    with torch.no_grad():
        offsets = attention.offsets(torch.randn(WIDTH)).view(HEADS, len(SIZES), POINTS, 2)
    expected = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    for step in range(POINTS):
        torch.testing.assert_close(offsets[:, 0, step], expected * (step + 1), atol=1e-5, rtol=0)


def test_maps_of_one_size_are_projected_before_they_are_resized() -> None:
    """A plain transformer's four maps lie at stride 16; the outcome is that of resizing them first, as Rein does."""
    torch.manual_seed(2)
    channels = dict.fromkeys(CHANNELS, 24)
    decoder = DeformablePixelDecoder(channels, WIDTH, layers=1, heads=HEADS, points=POINTS).eval()
    maps = {s: torch.randn(1, 24, SIZE[0] // 16, SIZE[1] // 16) for s in channels}
    resized = {
        s: F.interpolate(m, size=(SIZE[0] // s, SIZE[1] // s), mode="bilinear", align_corners=False)
        for s, m in maps.items()
    }
    with torch.no_grad():
        (found, levels), (expected, expected_levels) = decoder(maps, SIZE), decoder(resized, SIZE)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    for stride, level in levels.items():
        assert level.shape[-2:] == (SIZE[0] // stride, SIZE[1] // stride)
        torch.testing.assert_close(level, expected_levels[stride], atol=1e-4, rtol=1e-4)


def test_every_level_reaches_the_mask_features(stages: dict[int, Tensor]) -> None:
    torch.manual_seed(3)
    decoder = DeformablePixelDecoder(CHANNELS, WIDTH, layers=1, heads=HEADS, points=POINTS).eval()
    before = decoder(stages, SIZE)[0]
    for stride in CHANNELS:
        changed = stages | {stride: torch.randn_like(stages[stride])}
        assert not torch.allclose(decoder(changed, SIZE)[0], before, atol=1e-2), stride


def test_a_settled_decoder_says_the_same(stages: dict[int, Tensor]) -> None:
    torch.manual_seed(4)
    decoder = DeformablePixelDecoder(CHANNELS, WIDTH, layers=2, heads=HEADS, points=POINTS).eval()
    with torch.no_grad():
        expected, expected_levels = decoder(stages, SIZE)
        decoder.settle(SIZE, torch.float32)
        found, levels = decoder(stages, SIZE)
    assert not any(isinstance(follower, nn.ReLU) for layer in decoder.layers for follower in layer.feed_forward)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    for stride, level in levels.items():
        torch.testing.assert_close(level, expected_levels[stride], atol=1e-5, rtol=1e-4)
