"""t2g_small and t2g_large: their shipped configs at true size, and a small one trained from checkpoints to masks."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_checkpoints
import torch
import yaml
from safetensors.torch import load_file

from t2g_ros.cli import main as t2g
from t2g_ros.errors import ModelError
from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.pretrained import complete_config
from t2g_ros.model.time2general import Time2General
from t2g_ros.training import trainer
from t2g_ros.training.batches import Batch
from t2g_ros.training.config import ConfigError, load_train_config
from t2g_ros.training.objective import Objective

CONFIGS = Path(__file__).resolve().parents[2] / "config" / "train"
# What the published checkpoints' config.json say, as far as it matters.
DINOV2 = {"model_type": "dinov2", "image_size": 518, "patch_size": 14}
SMALL = DINOV2 | {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
LARGE = DINOV2 | {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
PUBLISHED = {
    "facebook/dinov2-small": SMALL,
    "facebook/dinov2-large": LARGE,
    "depth-anything/Depth-Anything-V2-Large-hf": {
        "model_type": "depth_anything",
        "backbone_config": LARGE | {"out_indices": [5, 12, 18, 24], "reshape_hidden_states": False},
    },
    "openai/clip-vit-large-patch14": {
        "model_type": "clip",
        "projection_dim": 768,
        "text_config": {"model_type": "clip_text_model", "projection_dim": 768},
    },
}


@pytest.mark.parametrize(
    ("name", "frozen_millions", "trained_millions"), [("t2g_small", 22.1, (3, 6)), ("t2g_large", 607, (25, 45))]
)
def test_a_shipped_config_builds_at_its_true_size(
    name: str, frozen_millions: float, trained_millions: tuple[float, float], tmp_path: Path
) -> None:
    for place, config in PUBLISHED.items():
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.json").write_text(json.dumps(config))
    config = complete_config(load_train_config(CONFIGS / f"{name}.yaml").model, tmp_path)
    with torch.device("meta"):
        network = Time2General(config)
    counts = {True: 0, False: 0}
    for parameter in network.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    assert counts[False] / 1e6 == pytest.approx(frozen_millions, rel=0.01)
    assert trained_millions[0] < counts[True] / 1e6 < trained_millions[1]
    config.save(tmp_path / "saved.yaml")
    assert ModelConfig.load(tmp_path / "saved.yaml") == config


@pytest.fixture
def large_file(config_file: Path, checkpoints: Path, large_config: ModelConfig) -> Path:
    """The training config of the small drive, for the small t2g_large and the checkpoints that it starts from."""
    large_config.save(config_file.parent / "large.yaml")
    model = yaml.safe_load((config_file.parent / "large.yaml").read_text())
    for section in ("encoder", "depth"):
        del model[section]["architecture"]  # the checkpoint says it
    for section in ("encoder", "depth", "text"):
        model[section]["pretrained"] = str(checkpoints / model[section]["pretrained"])
    del model["text"]["width"]
    values = yaml.safe_load(config_file.read_text())
    values |= {"model": model, "steps": 2, "checkpoint_every": 1, "validate_every": 2, "set_loss": {"points": 256}}
    path = config_file.with_name("train_large.yaml")
    path.write_text(yaml.safe_dump(values))
    return path


def trained_from(checkpoints: Path, weights: Path) -> dict[str, torch.Tensor]:
    """Check that the frozen weights in a weights file are the checkpoints', and return the others."""
    found = load_file(weights)
    for encoder, prefix in (("dinov2", "encoder.trunk."), ("depth", "depth.trunk.")):
        saved = load_file(checkpoints / encoder / "model.safetensors")
        saved = {key.removeprefix("backbone."): value for key, value in saved.items()}
        for layer in range(tiny_checkpoints.LAYERS):
            for ours, theirs in (("mlp.fc1.weight", "mlp.fc1.weight"), ("norm1.bias", "norm1.bias")):
                frozen = found.pop(f"{prefix}layers.{layer}.{ours}")
                assert torch.equal(frozen, saved[f"encoder.layer.{layer}.{theirs}"])
        assert torch.equal(found[f"{prefix}embeddings.cls_token"], saved["embeddings.cls_token"])
    return {key: value for key, value in found.items() if ".trunk." not in key}


class Killed(Exception):
    pass


def test_training_resumes_leaves_frozen_weights_alone_and_ends_in_masks(
    large_file: Path, drive: Path, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer.main(large_file, [], tmp_path / "whole")
    trained = trained_from(checkpoints, whole)
    with (tmp_path / "whole" / "train.csv").open() as table:
        names = {line.split(",")[1] for line in table}
    assert {"set_class", "set_mask", "set_dice", "auxiliary", "consistency", "stride_consistency"} <= names
    # Every trained part moved away from its start.
    config = load_train_config(large_file)
    start = trainer.start_network(replace(config, model=complete_config(config.model, checkpoints)), checkpoints)
    before = start.state_dict()
    for part in (
        "queries.",
        "modulation.",
        "text.mlp.",
        "query_in.",
        "query_out.",
        "pixel_decoder.",
        "memory_decoder.",
    ):
        assert any(not torch.equal(trained[key], before[key]) for key in trained if key.startswith(part)), part
    # A run that was killed after its first checkpoint, which holds no frozen weights, goes on to the same weights.
    forward, calls = Objective.forward, iter(range(2))

    def killed_in_the_second_step(self: Objective, batch: Batch) -> object:
        if next(calls):
            raise Killed
        return forward(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", killed_in_the_second_step)
        with pytest.raises(Killed):
            trainer.main(large_file, [], tmp_path / "killed")
    assert not any("trunk" in key for key in load_file(tmp_path / "killed" / "checkpoint.safetensors"))
    a, b = load_file(whole), load_file(trainer.main(large_file, [], tmp_path / "killed"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)

    (drive / "clip.yaml").write_text("fps: 30\nlabels: camvid11\n")
    options = ["--frames", str(drive), "--model", str(whole), "--runtime", "torch", "--out"]
    assert t2g(["evaluate", *options, str(tmp_path / "evaluation")]) == 0
    rows = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["rows"]
    assert rows[0]["model"] == "large_test"
    assert 0 <= rows[0]["miou"] <= 1
    out = tmp_path / "masks"
    assert t2g(["predict", *options, str(out)]) == 0
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(out.glob("*.png"))]
    assert len(masks) == 8
    assert masks[0].shape == (96, 160)
    assert np.isin(masks[0], range(19)).all()


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.assignment=fixed", "model.masked_attention=false"],
        ["model.memory=false", "model.time_embedding=false"],
        ["model.depth=null", "model.text=null", "model.stability_queries=false"],
    ],
)
def test_a_network_without_a_part_trains(large_file: Path, tmp_path: Path, overrides: list[str]) -> None:
    weights = trainer.main(large_file, [*overrides, "steps=1", "validation=[]"], tmp_path / "out")
    load_model(weights)


@pytest.mark.parametrize("make", [tiny_checkpoints.swin, tiny_checkpoints.convnext, tiny_checkpoints.dinov3])
def test_other_encoders_train_too(large_file: Path, tmp_path: Path, make) -> None:
    make(tmp_path / "encoder")
    kind = "dinov3" if make is tiny_checkpoints.dinov3 else "backbone"
    encoder = f"model.encoder={{kind: {kind}, pretrained: encoder, frozen: true, taps: [1, 2, 3, 4]}}"
    weights = trainer.main(large_file, [encoder, "model.depth=null", "steps=1", "validation=[]"], tmp_path / "out")
    saved, found = load_file(tmp_path / "encoder" / "model.safetensors"), load_file(weights)
    frozen = [value for key, value in found.items() if key.startswith("encoder.trunk.")]
    assert sum(any(torch.equal(value, other) for other in saved.values()) for value in frozen) > 0.8 * len(frozen)
    assert load_model(weights).config.encoder.architecture["model_type"]


def test_imagenet_weights_of_mobilenet_are_not_for_other_encoders(large_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"imagenet is 'x\.npz', expected '' for an encoder that is no mobilenet_v2"):
        trainer.main(large_file, ["imagenet=x.npz"], tmp_path / "out")


def test_a_checkpoint_that_is_nowhere_stops_the_run_before_it_begins(large_file: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ModelError, match=r"depth\.pretrained: checkpoint .*none cannot be read"):
        trainer.main(large_file, ["model.depth.pretrained=none"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
