"""Hierarchical backbones through `AutoBackbone`."""

from pathlib import Path

import pytest
import tiny_checkpoints
import torch
from torch import Tensor
from transformers import ConvNextBackbone, SwinBackbone

from t2g_ros.model.encoders.backbone import BackboneEncoder
from t2g_ros.model.encoders.build import build_encoder
from t2g_ros.model.encoders.load import complete_encoder, load_encoder
from t2g_ros.model.sections import EncoderConfig

IMAGE = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0)) * 255
MAKE = {"swin": tiny_checkpoints.swin, "convnext": tiny_checkpoints.convnext}


@pytest.fixture(scope="module", params=MAKE)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier's checkpoint, as they are published."""
    return MAKE[request.param](tmp_path_factory.mktemp("checkpoints") / request.param)


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> BackboneEncoder:
    config = complete_encoder(EncoderConfig("backbone", checkpoint.name, frozen=True), checkpoint.parent)
    built = build_encoder(config)
    load_encoder(built, config, checkpoint.parent)
    assert isinstance(built, BackboneEncoder)
    return built


def test_the_maps_are_those_of_transformers(checkpoint: Path, encoder: BackboneEncoder) -> None:
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    kind = {"swin": SwinBackbone, "convnext": ConvNextBackbone}[checkpoint.name]
    reference = kind.from_pretrained(checkpoint, out_indices=[1, 2, 3, 4]).eval()
    with torch.no_grad():
        expected = reference((IMAGE / 255 - mean) / deviation).feature_maps
        found = encoder(IMAGE)
    for (stride, maps), same in zip(found.items(), expected, strict=True):
        assert maps.shape == (2, encoder.channels[stride], 64 // stride, 128 // stride)
        torch.testing.assert_close(maps, same, atol=1e-4, rtol=1e-4)


def test_what_leaves_a_stage_is_modulated_before_the_next_one_sees_it(encoder: BackboneEncoder) -> None:
    seen: list[tuple[int, ...]] = []

    def mirror_after_the_second(layer: int, maps: Tensor) -> Tensor:
        seen.append(tuple(maps.shape))
        return maps.flip(-1) if layer == 1 else maps

    with torch.no_grad():
        before, after = encoder(IMAGE), encoder(IMAGE, mirror_after_the_second)
        again = encoder(IMAGE)
    assert seen == [(2, c, 64 // s, 128 // s) for s, c in encoder.channels.items()]
    torch.testing.assert_close(after[4], before[4])
    torch.testing.assert_close(after[8], before[8].flip(-1))
    assert not torch.allclose(after[16], before[16], atol=1e-2)
    torch.testing.assert_close(again[32], before[32])  # and nothing of it stays


def test_gradients_reach_what_modulates_a_frozen_backbone(encoder: BackboneEncoder) -> None:
    change = torch.zeros(4, requires_grad=True)
    encoder.train()
    encoder(IMAGE, lambda layer, maps: maps + change[layer] * maps.square())[32].square().mean().backward()
    assert change.grad is not None
    assert (change.grad != 0).all()
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert not any(module.training for module in encoder.trunk.modules())
