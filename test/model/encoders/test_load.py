"""Checkpoints that do not fit are named, with the key that names them and what was expected."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_checkpoints
import torch
from safetensors.torch import load_file, save_file

from t2g_ros.errors import ModelError
from t2g_ros.model.encoders.build import build_depth_encoder, build_encoder
from t2g_ros.model.encoders.load import complete_depth, complete_encoder, load_depth_encoder, load_encoder
from t2g_ros.model.encoders.text import complete_text, encode_classes
from t2g_ros.model.sections import DepthConfig, EncoderConfig, TextConfig

DINOV2 = EncoderConfig("dinov2", "dinov2", taps=(1, 2, 3, 4))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_checkpoints.dinov2(tmp_path / "dinov2")
    return tmp_path


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def load(config: EncoderConfig, folder: Path) -> None:
    config = complete_encoder(config, folder)
    load_encoder(build_encoder(config), config, folder)


def test_a_checkpoint_that_is_nowhere(folder: Path, no_hub: None) -> None:
    with pytest.raises(ModelError, match=r"encoder\.pretrained: 'facebook/none' is no folder in .*hub.*config\.json"):
        complete_encoder(replace(DINOV2, pretrained="facebook/none"), folder)
    (folder / "empty").mkdir()
    with pytest.raises(ModelError, match=r"encoder\.pretrained: checkpoint .*empty cannot be read"):
        complete_encoder(replace(DINOV2, pretrained="empty"), folder)


def test_a_checkpoint_of_another_kind(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"encoder\.pretrained: .*dinov2 is of type dinov2, expected .*dinov3_vit"):
        complete_encoder(replace(DINOV2, kind="dinov3"), folder)
    with pytest.raises(ModelError, match=r"of type dinov2, expected one of swin, "):
        complete_encoder(replace(DINOV2, kind="backbone"), folder)
    with pytest.raises(ModelError, match=r"text\.pretrained: .*of type dinov2, expected CLIP"):
        complete_text(TextConfig("dinov2"), folder)


def test_pickles_are_not_read(folder: Path) -> None:
    weights = folder / "dinov2" / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(ModelError, match=r"encoder\.pretrained: checkpoint .*dinov2 cannot be read .*safetensors"):
        load(DINOV2, folder)


def test_damaged_weights(folder: Path) -> None:
    weights = folder / "dinov2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ModelError, match=r"encoder\.pretrained: checkpoint .*dinov2 cannot be read"):
        load(DINOV2, folder)


def test_missing_tensors_are_named(folder: Path) -> None:
    weights = folder / "dinov2" / "model.safetensors"
    tensors = load_file(weights)
    del tensors["encoder.layer.2.mlp.fc1.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 tensor\(s\) missing \['encoder\.layer\.2\.mlp\.fc1\.weight'\]"):
        load(DINOV2, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, r"encoder\.architecture: is empty; set 'pretrained'"),
        ({"model_type": "bert"}, r"model_type is 'bert', expected one of dinov2"),
        ({"model_type": "dinov2", "hidden_sise": 3}, r"unknown key\(s\) \['hidden_sise'\] for a dinov2"),
        ({"model_type": "dinov2", "_attn_implementation": "x/y"}, r"unknown key\(s\) \['_attn_implementation'\]"),
        ({"model_type": "dinov2", "hidden_size": "wide"}, r"no config of a dinov2 .*hidden_size"),
        ({"model_type": "dinov2", "num_hidden_layers": 3}, r"encoder\.taps: layer 4, expected at most 3"),
    ],
)
def test_an_architecture_that_is_wrong(change: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_encoder(replace(DINOV2, pretrained="", architecture=change))


@pytest.mark.parametrize("make", [tiny_checkpoints.depth_anything, tiny_checkpoints.dinov2])
def test_a_depth_encoder_is_depth_anything_s_or_a_plain_dinov2(folder: Path, make) -> None:
    make(folder / "depth", seed=5)
    encoder, depth = complete_encoder(DINOV2, folder), complete_depth(DepthConfig("depth"), folder)
    built = build_depth_encoder(depth, encoder)
    load_depth_encoder(built, depth, folder)
    # It is a plain ViT of those weights: what an image encoder with them gives after every layer.
    saved = load_file(folder / "depth" / "model.safetensors")
    key = next(k for k in saved if k.endswith("encoder.layer.3.mlp.fc2.weight"))
    assert torch.equal(built.trunk.layers[3].mlp.fc2.weight, saved[key])
    tokens = built(torch.rand(1, 3, 64, 64) * 255)
    assert [t.shape for t in tokens] == [(1, 16, tiny_checkpoints.WIDTH)] * 4
    assert not tokens[0].requires_grad


@pytest.mark.parametrize("other", [{"num_hidden_layers": 5}, {"hidden_size": 48}])
def test_a_depth_encoder_of_another_size_is_refused(folder: Path, other: dict) -> None:
    tiny_checkpoints.depth_anything(folder / "depth", **other)
    encoder, depth = complete_encoder(DINOV2, folder), complete_depth(DepthConfig("depth"), folder)
    with pytest.raises(ModelError, match=r"depth\.architecture: \d layers of width \d+, expected 4 of 32 as the image"):
        build_depth_encoder(depth, encoder)


def test_text_features_are_clip_s_of_the_prompts(folder: Path) -> None:
    tiny_checkpoints.clip(folder / "clip")
    config = TextConfig("clip")
    features = encode_classes(config, ("road", "truck_bus", "sky"), folder)
    assert features.shape == (3, complete_text(config, folder).width)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))
    from transformers import AutoTokenizer, CLIPModel

    model = CLIPModel.from_pretrained(folder / "clip").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "clip")
    with torch.no_grad():
        expected = model.get_text_features(**tokenizer(["a street lined with truck bus"], return_tensors="pt"))
    expected = getattr(expected, "pooler_output", expected)
    torch.testing.assert_close(features[1], torch.nn.functional.normalize(expected[0], dim=-1), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(encode_classes(replace(config, template="{class}"), ("road",), folder), features[:1])


def test_a_clip_without_a_tokenizer(folder: Path) -> None:
    tiny_checkpoints.clip(folder / "clip")
    for name in ("vocab.json", "merges.txt"):
        (folder / "clip" / name).unlink()
    with pytest.raises(ModelError, match=r"text\.pretrained: checkpoint .*clip: no tokenizer .*vocab\.json"):
        encode_classes(TextConfig("clip"), ("road", "sky"), folder)


def test_a_config_that_is_no_json(folder: Path) -> None:
    (folder / "dinov2" / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"checkpoint .*dinov2 cannot be read"):
        complete_encoder(DINOV2, folder)
    (folder / "dinov2" / "config.json").write_text(json.dumps({"model_type": "none_such"}))
    with pytest.raises(ModelError, match=r"checkpoint .*dinov2 cannot be read .*none_such"):
        complete_encoder(DINOV2, folder)
