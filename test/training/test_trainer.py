import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from t2g_ros.errors import ModelError
from t2g_ros.model.checkpoint import load_model
from t2g_ros.training import trainer
from t2g_ros.training.config import TrainConfig
from t2g_ros.training.objective import Objective


def rows(out: Path) -> list[list[str]]:
    with (out / "train.csv").open(newline="") as file:
        return list(csv.reader(file))


class Killed(Exception):
    pass


def kill_before_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """End the run like a kill would: nothing is saved on the way out."""
    original = Objective.__call__
    calls = 0

    def call(self, *args):
        nonlocal calls
        calls += 1
        if calls == step:
            raise Killed
        return original(self, *args)

    monkeypatch.setattr(Objective, "__call__", call)


def test_a_run_writes_weights_that_load_and_a_log_of_every_loss(config_file: Path, tmp_path: Path) -> None:
    weights = trainer.main(config_file, [], tmp_path / "out")
    network = load_model(weights)
    assert network.config.name == "tiny"
    names = {name for _, name, _ in rows(tmp_path / "out")[1:]}
    assert {"loss", "segmentation", "dice", "auxiliary", "consistency", "stride_consistency", "presence"} <= names
    assert f"miou_{tmp_path.name}_drive" in names


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer.main(config_file, [], tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_before_step(patch, 6)  # after the checkpoint of step 4
        with pytest.raises(Killed):
            trainer.main(config_file, [], tmp_path / "killed")
    resumed = trainer.main(config_file, [], tmp_path / "killed")
    a, b = load_file(whole), load_file(resumed)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert rows(tmp_path / "whole") == rows(tmp_path / "killed")


def test_training_lowers_the_loss(config_file: Path, tmp_path: Path) -> None:
    trainer.main(config_file, ["steps=40", "validate_every=40", "lr=0.003", "encoder_lr=0.001"], tmp_path / "out")
    losses = [float(value) for _, name, value in rows(tmp_path / "out") if name == "segmentation"]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_a_checkpoint_of_another_config_or_other_data_is_refused(
    config_file: Path, drive: Path, tmp_path: Path
) -> None:
    trainer.main(config_file, ["steps=2"], tmp_path / "out")
    with pytest.raises(ModelError, match="another config"):
        trainer.main(config_file, ["steps=4"], tmp_path / "out")
    first = sorted((drive / "labels").iterdir())[0]
    first.write_bytes(sorted((drive / "labels").iterdir())[1].read_bytes())
    with pytest.raises(ModelError, match="data of source"):
        trainer.main(config_file, ["steps=2"], tmp_path / "out")


def test_a_damaged_checkpoint_is_named(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.safetensors").write_bytes(b"half a file")
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors.*delete it"):
        trainer.main(config_file, [], tmp_path / "out")


def test_a_loss_that_is_not_finite_stops_the_run(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Objective.__call__

    def call(self, *args):
        loss, parts = original(self, *args)
        return loss * float("nan"), parts

    monkeypatch.setattr(Objective, "__call__", call)
    with pytest.raises(trainer.TrainingError, match="step 0"):
        trainer.main(config_file, [], tmp_path / "out")


def test_weights_of_an_earlier_run_can_be_the_start(config_file: Path, tmp_path: Path) -> None:
    first = trainer.main(config_file, ["steps=2"], tmp_path / "first")
    second = trainer.main(config_file, ["steps=1", f"init={first}", "lr=0.0", "encoder_lr=0.0"], tmp_path / "second")
    a, b = load_file(first), load_file(second)
    assert all(torch.allclose(a[key], b[key]) for key in a if not key.split(".")[-1].startswith(("running", "num")))


def test_the_learning_rate_warms_up_and_decays_to_nothing() -> None:
    config = TrainConfig(model=None, sources=(), steps=100, warmup_steps=10)  # type: ignore[arg-type]
    factors = [trainer.learning_rate_factor(step, config) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors.index(max(factors)) == 9
    assert factors[-1] < 0.02
