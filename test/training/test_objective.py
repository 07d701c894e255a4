"""The two ways to train: one query per class, and queries that are matched with classes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from t2g_ros.labels import CAMVID11, CITYSCAPES19
from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.time2general import Time2General
from t2g_ros.training.batches import Batch
from t2g_ros.training.config import SourceConfig, TrainConfig
from t2g_ros.training.losses import coarse_log_probabilities, segmentation_loss
from t2g_ros.training.objective import Objective

SOURCES = (SourceConfig(kind="rendered", weight=1),)
WEIGHTS = {"cityscapes19": torch.ones(19), "camvid11": torch.ones(11)}


def batch(seed: int = 0, spaces: tuple[str, ...] = ("cityscapes19", "camvid11")) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        images=torch.from_numpy(rng.integers(0, 256, (2, 3, 3, 64, 128), dtype=np.uint8)),
        labels=torch.from_numpy(rng.integers(0, 11, (2, 3, 32, 64), dtype=np.uint8)),
        times_s=torch.tensor([[0.0, 0.1, 0.2], [0.0, 0.5, 1.0]]),
        spaces=spaces,
        seeds=(1, 2),
    )


def objective(model: Path, **values) -> Objective:
    network = load_model(model)
    config = TrainConfig(model=network.config, sources=SOURCES, **values)
    return Objective(network, config, WEIGHTS)


SHARED = {"auxiliary", "consistency", "stride_consistency"}


@pytest.mark.parametrize(
    ("model", "own"),
    [
        ("random_model", {"segmentation", "dice", "presence"}),
        ("large_model", {"set_class", "set_mask", "set_dice"}),
    ],
)
def test_the_loss_is_the_weighted_sum_of_its_parts(model: str, own: set[str], request: pytest.FixtureRequest) -> None:
    weights = {"auxiliary_weight": 0.3, "consistency_weight": 0.7, "stride_consistency_weight": 0.2}
    weights |= {"dice_weight": 0.4, "presence_weight": 0.6}
    loss, parts = objective(request.getfixturevalue(model), **weights)(batch())
    assert parts.keys() == SHARED | own
    expected = sum(weights.get(f"{name}_weight", 1.0) * value for name, value in parts.items())
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("model", ["random_model", "large_model"])
def test_a_part_of_weight_0_is_not_computed(model: str, request: pytest.FixtureRequest) -> None:
    off = dict.fromkeys((f"{name}_weight" for name in (*SHARED, "dice", "presence")), 0.0)
    _, parts = objective(request.getfixturevalue(model), **off)(batch())
    assert parts.keys() <= {"segmentation", "set_class", "set_mask", "set_dice"}


@pytest.mark.parametrize("model", ["random_model", "large_model"])
def test_clips_count_alike_so_that_processes_may_share_them(model: str, request: pytest.FixtureRequest) -> None:
    """The loss of a batch is the mean of the losses of its halves, each drawn for by its own clip."""
    train = objective(request.getfixturevalue(model)).eval()  # BatchNorm apart: that sums over processes by itself
    whole = batch()
    halves = [
        Batch(whole.images[i : i + 1], whole.labels[i : i + 1], whole.times_s[i : i + 1], *rest)
        for i, *rest in zip(range(2), [(s,) for s in whole.spaces], [(s,) for s in whole.seeds], strict=True)
    ]
    expected = np.mean([train(half)[0].item() for half in halves])
    assert train(whole)[0].item() == pytest.approx(expected, rel=1e-4)


def test_queries_are_matched_whichever_they_are(large_model: Path) -> None:
    """A query that is taught by class and mask is not always the same one: the assignment is free."""
    train = objective(large_model)
    loss, _ = train(batch())
    loss.backward()
    gradient = train.network.memory_decoder.class_head.weight.grad
    assert gradient is not None
    assert gradient.shape[0] == len(CITYSCAPES19) + 1
    assert gradient.abs().sum(dim=1).min() > 0
    frozen = [p for name, p in train.network.named_parameters() if name.startswith(("encoder.trunk.", "depth."))]
    assert frozen
    assert all(p.grad is None for p in frozen)


def test_without_a_memory_every_frame_is_a_clip_of_its_own(large_model: Path) -> None:
    """The other frames of the clip do not matter to a frame's set loss."""
    config = replace(load_model(large_model).config, memory=False, pixel_memory=False, time_embedding=False)
    torch.manual_seed(0)
    values = {"consistency_weight": 0.0, "stride_consistency_weight": 0.0}
    train = Objective(Time2General(config), TrainConfig(model=config, sources=SOURCES, **values), WEIGHTS).eval()
    clip = batch()
    clip.labels[:, :2] = 255  # the newest frame is labelled
    other = clip._replace(images=clip.images.clone())
    other.images[:, 1] = 0
    losses = [train(b)[1] for b in (clip, other)]
    assert losses[0].keys() == {"set_class", "set_mask", "set_dice", "auxiliary"}
    assert all(losses[0][part].item() == pytest.approx(losses[1][part].item(), rel=1e-5) for part in losses[0])
    other.images[:, 2] = 0
    assert train(other)[0].item() != pytest.approx(train(clip)[0].item(), rel=1e-3)


def test_unlabelled_frames_are_memory_and_nothing_else(random_model: Path) -> None:
    """Of two clips that differ in an unlabelled frame, only the memory tells."""
    train = objective(random_model, memory_drop=0.0, stride_consistency_weight=0.0).eval()
    clip = batch(spaces=("cityscapes19", "cityscapes19"))
    clip.labels[:, :2] = 255
    other = clip._replace(images=clip.images.clone())
    other.images[:, 1] = 0
    assert train(clip)[0].item() != train(other)[0].item()
    alone = objective(random_model, memory_drop=1.0, stride_consistency_weight=0.0).eval()
    assert alone(clip)[0].item() == pytest.approx(alone(other)[0].item(), rel=1e-5)


def test_probabilities_are_not_rounded_under_autocast(random_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself, autocast sums the fine classes in bf16, to which 0.999 is 1."""
    seen = []

    def recorded(log_p: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        seen.append(log_p.detach())
        return segmentation_loss(log_p, *rest)

    monkeypatch.setattr("t2g_ros.training.objective.segmentation_loss", recorded)
    train = objective(random_model)
    with torch.autocast("cpu", torch.bfloat16):
        train(batch())
    p = torch.cat([log_p.exp().flatten() for log_p in seen])
    assert (p.bfloat16().float() - p).abs().max() > 1e-4 * p.max()
    assert ((p.bfloat16().float() - p).abs() < 1e-7 * p).float().mean() < 0.2


def test_a_truck_among_camvid_s_cars_is_no_mistake(random_model: Path) -> None:
    scores = torch.full((1, 19, 4, 4), -20.0)
    scores[:, CITYSCAPES19.id_of("truck")] = 20.0
    log_p = coarse_log_probabilities(scores, objective(random_model).get_buffer("groups_camvid11"))
    assert log_p[:, CAMVID11.id_of("car")].min() > -1e-3
    assert log_p[:, CAMVID11.id_of("building")].max() < -5
