"""Plain transformers: the same numbers as `transformers`' own, at another patch size and at any image size."""

from pathlib import Path

import pytest
import tiny_checkpoints
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Dinov2Model, DINOv3ViTModel

from t2g_ros.model.encoders.build import build_encoder
from t2g_ros.model.encoders.load import complete_encoder, load_encoder
from t2g_ros.model.encoders.vit import ViTEncoder
from t2g_ros.model.sections import EncoderConfig

IMAGE = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0)) * 255
TAPS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


def encoder(kind: str, path: Path, **options: object) -> ViTEncoder:
    config = complete_encoder(EncoderConfig(kind, path.name, taps=TAPS, **options), path.parent)  # type: ignore[arg-type]
    built = build_encoder(config)
    load_encoder(built, config, path.parent)
    assert isinstance(built, ViTEncoder)
    return built.eval()


def hidden_states(network: torch.nn.Module, image: Tensor, prefix: int) -> list[Tensor]:
    """Maps after every layer as `transformers` computes them."""
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    with torch.no_grad():
        states = network((image / 255 - mean) / deviation, output_hidden_states=True).hidden_states[1:]
    return [s[:, prefix:].transpose(1, 2).unflatten(-1, (4, 8)) for s in states]


def test_dinov2_at_patch_16_is_transformers_dinov2_with_that_kernel(folder: Path) -> None:
    path = tiny_checkpoints.dinov2(folder / "patch16", patch_size=16, image_size=80)
    expected = hidden_states(Dinov2Model.from_pretrained(path).eval(), IMAGE, prefix=1)
    with torch.no_grad():
        maps = encoder("dinov2", path)(IMAGE)
    assert list(maps) == [4, 8, 16, 32]
    for found, layer in zip(maps.values(), expected, strict=True):
        torch.testing.assert_close(found, layer, atol=1e-4, rtol=1e-4)


def test_dinov3_is_transformers_dinov3(folder: Path) -> None:
    path = tiny_checkpoints.dinov3(folder / "dinov3")
    expected = hidden_states(DINOv3ViTModel.from_pretrained(path).eval(), IMAGE, prefix=3)
    with torch.no_grad():
        maps = encoder("dinov3", path)(IMAGE)
    for found, layer in zip(maps.values(), expected, strict=True):
        torch.testing.assert_close(found, layer, atol=1e-4, rtol=1e-4)


def test_a_checkpoint_of_patch_14_sees_the_same_in_a_larger_image(folder: Path) -> None:
    path = tiny_checkpoints.dinov2(folder / "patch14")
    smooth = F.interpolate(torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)), (70, 70), mode="bicubic")
    original = Dinov2Model.from_pretrained(path).eval()
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    # 5 x 5 patches of 14 and of 16: the positions are those of the checkpoint, too.
    larger = F.interpolate(smooth, (80, 80), mode="bilinear")
    with torch.no_grad():
        expected = original((smooth - mean) / deviation, output_hidden_states=True).hidden_states[-1][:, 1:]
        found = encoder("dinov2", path)(larger * 255)[32].flatten(2).transpose(1, 2)
    assert float((found - expected).norm() / expected.norm()) < 0.02


def test_positions_are_stretched_over_any_image(folder: Path) -> None:
    path = tiny_checkpoints.dinov2(folder / "positions")
    built = encoder("dinov2", path)
    embeddings = built.trunk.embeddings
    ramp = torch.linspace(-1, 1, 5)
    with torch.no_grad():
        embeddings.position_embeddings.zero_()
        embeddings.position_embeddings[0, 1:, 0] = ramp.repeat(5)  # from left to right
        embeddings.position_embeddings[0, 1:, 1] = ramp.repeat_interleave(5)  # from top to bottom
        for parameter in embeddings.patch_embeddings.parameters():
            parameter.zero_()
        tokens = embeddings(torch.zeros(1, 3, 64, 160))[0, 1:].view(4, 10, -1)
    torch.testing.assert_close(tokens[..., 0], tokens[:1, :, 0].expand(4, 10))
    torch.testing.assert_close(tokens[..., 1], tokens[:, :1, 1].expand(4, 10))
    assert (tokens[0, :, 0].diff() > 0).all()
    assert (tokens[:, 0, 1].diff() > 0).all()
    torch.testing.assert_close(tokens[..., 0], -tokens[..., 0].flip(1))


def test_layers_after_the_last_tap_are_left_out(folder: Path) -> None:
    path = tiny_checkpoints.dinov2(folder / "deep", num_hidden_layers=6)
    assert len(encoder("dinov2", path).trunk.layers) == TAPS[-1]


def test_frozen_weights_take_no_gradient_and_no_mode_but_pass_gradients_on(folder: Path) -> None:
    built = encoder("dinov2", tiny_checkpoints.dinov2(folder / "frozen"), frozen=True).train()
    assert not any(module.training for module in built.trunk.modules())
    assert not built(IMAGE)[32].requires_grad
    change = torch.full((4,), 0.1, requires_grad=True)
    built(IMAGE, lambda layer, tokens: tokens * (1 + change[layer]))[32].sum().backward()
    assert change.grad is not None
    assert (change.grad != 0).all()
    assert all(parameter.grad is None for parameter in built.trunk.parameters())


def test_modulation_changes_what_the_next_layer_sees_and_leaves_the_class_token(folder: Path) -> None:
    built = encoder("dinov2", tiny_checkpoints.dinov2(folder / "modulated"))
    seen = []

    def modulate(layer: int, tokens: Tensor) -> Tensor:
        seen.append((layer, tuple(tokens.shape)))
        return tokens.roll(1, dims=1) if layer == 1 else tokens

    entering: list[Tensor] = []
    built.trunk.layers[2].register_forward_pre_hook(lambda module, args: entering.append(args[0]))
    with torch.no_grad():
        before, after = built(IMAGE), built(IMAGE, modulate)
    assert seen == [(layer, (2, 32, tiny_checkpoints.WIDTH)) for layer in range(4)]
    plain, changed = entering
    torch.testing.assert_close(changed[:, 0], plain[:, 0])
    torch.testing.assert_close(changed[:, 1:], plain[:, 1:].roll(1, dims=1))
    torch.testing.assert_close(after[4], before[4])
    torch.testing.assert_close(after[8].flatten(2), before[8].flatten(2).roll(1, dims=2))
    assert not torch.allclose(after[16].flatten(2), before[16].flatten(2), atol=1e-2)


@pytest.mark.parametrize("kind", ["dinov2", "dinov3"])
def test_a_trunk_that_is_settled_on_a_size_gives_the_same(folder: Path, kind: str) -> None:
    built = encoder(kind, getattr(tiny_checkpoints, kind)(folder / f"settled_{kind}"))
    with torch.no_grad():
        expected = built(IMAGE)
        built.trunk.settle((64, 128), torch.float32)
        for found, before in zip(built(IMAGE).values(), expected.values(), strict=True):
            torch.testing.assert_close(found, before)


@pytest.mark.parametrize("kind", ["dinov2", "dinov3"])
def test_a_trunk_that_is_settled_on_a_type_computes_in_its_type_under_autocast_too(folder: Path, kind: str) -> None:
    built = encoder(kind, getattr(tiny_checkpoints, kind)(folder / f"low_{kind}"))
    with torch.no_grad():
        expected = built(IMAGE)
        built.trunk.settle((64, 128), torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            found = built(IMAGE)
    for low, full in zip(found.values(), expected.values(), strict=True):
        assert low.dtype == torch.bfloat16
        assert F.cosine_similarity(low.float().flatten(1), full.flatten(1)).min() > 0.99


@pytest.mark.parametrize("kind", ["dinov2", "dinov3"])
def test_a_settled_one_says_the_same_without_scaling_its_branches(folder: Path, kind: str) -> None:
    torch.manual_seed(0)
    built = encoder(kind, getattr(tiny_checkpoints, kind)(folder / f"settled-{kind}"))
    scales = [scale for name, scale in built.named_parameters() if name.endswith("lambda1")]
    assert len(scales) == 2 * len(TAPS)
    with torch.no_grad():
        for scale in scales:
            scale.uniform_(-2, 2)
        expected = built(IMAGE)
        for _ in range(2):  # the second time changes nothing
            built.trunk.settle((64, 128), torch.float32)
        found = built(IMAGE)
    assert not any(name.endswith("lambda1") for name in built.state_dict())
    for stride, maps in found.items():
        torch.testing.assert_close(maps, expected[stride], atol=1e-4, rtol=1e-4)
