"""The trainer as a user meets it: a config in, weights, logs and a record out, whatever happens on the way."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tensorboardX.proto.event_pb2 import Event

from t2g_ros.errors import ModelError
from t2g_ros.model.checkpoint import load_model
from t2g_ros.training import trainer
from t2g_ros.training.config import ConfigError, SourceConfig, TrainConfig
from t2g_ros.training.objective import Objective

ROOT = Path(__file__).parents[2]


def rows(out: Path) -> list[list[str]]:
    with (out / "train.csv").open(newline="") as file:
        return list(csv.reader(file))


def events(out: Path) -> list[Event]:
    """TensorBoard's records: length (8 bytes), its checksum (4), the event, its checksum (4)."""
    found = []
    for path in sorted((out / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def run(*command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=170)


def same_weights(a: Path, b: Path) -> bool:
    first, second = load_file(a), load_file(b)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_leaves_weights_logs_and_a_record(config_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    weights = trainer.main(config_file, ["steps=3", "validate_every=1", "seed=5"], out)
    assert weights == out / "tiny.safetensors"
    assert load_model(weights).config.name == "tiny"
    assert load_model(out / "tiny_best.safetensors").config.name == "tiny"
    figures = {name for _, name, _ in rows(out)[1:]}
    losses = {"loss", "segmentation", "dice", "auxiliary", "consistency", "stride_consistency", "presence"}
    miou = f"miou_{tmp_path.name}_drive"
    assert losses | {"gradient_norm", "lr", miou} == figures
    logged = [(event.step, value) for event in events(out) for value in event.summary.value]
    assert {value.tag for _, value in logged if value.HasField("simple_value")} == figures
    (picture, *_) = [value.image for _, value in logged if value.HasField("image")]
    assert (picture.height, picture.width) == (96, 2 * 160)
    assert picture.encoded_image_string.startswith(b"\x89PNG")
    record = json.loads((out / "tiny.run.json").read_text())
    assert (record["steps_done"], record["seed"], record["config"]["lr"]) == (3, 5, 1e-3)
    assert len(record["data_sha256"]["source 0"]) == 64
    series = {int(step): float(value) for step, name, value in rows(out)[1:] if name == miou}
    best = record["validation"]["best"]
    assert best["mean_miou"] == pytest.approx(max(series.values()), rel=1e-4)
    assert best["step"] == min(step for step, value in series.items() if value == max(series.values()))
    assert record["validation"]["last"]["step"] == 3


KILLED_IN_STEP_4 = """
import os, signal, sys
from pathlib import Path
from t2g_ros.training import objective, trainer

calls, forward = 0, objective.Objective.forward

def killed(self, batch):
    global calls
    calls += 1
    if calls == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, batch)

objective.Objective.forward = killed
trainer.main(Path(sys.argv[1]), ["steps=4"], Path(sys.argv[2]))
"""


def test_a_run_killed_by_force_ends_with_the_weights_of_one_that_was_not(config_file: Path, tmp_path: Path) -> None:
    whole = trainer.main(config_file, ["steps=4"], tmp_path / "whole")
    killed = run("-c", KILLED_IN_STEP_4, str(config_file), str(tmp_path / "killed"))
    assert killed.returncode == -9, killed.stderr
    resumed = trainer.main(config_file, ["steps=4"], tmp_path / "killed")  # from the checkpoint of step 2
    assert same_weights(whole, resumed)
    for name in ("tiny_best.safetensors", "checkpoint.safetensors"):
        assert same_weights(tmp_path / "whole" / name, tmp_path / "killed" / name)
    assert rows(tmp_path / "whole") == rows(tmp_path / "killed")
    records = [json.loads((tmp_path / name / "tiny.run.json").read_text()) for name in ("whole", "killed")]
    assert records[0] == records[1]
    # TensorBoard hides what the killed run had logged after its checkpoint.
    assert [e.step for e in events(tmp_path / "killed") if e.HasField("session_log")] == [1, 3]


def test_two_processes_train_the_weights_of_one(config_file: Path, tmp_path: Path) -> None:
    """Two gloo processes with two clips each, against one with all four."""
    overrides = ["clips_per_step=4", "precision=f32", "steps=4"]
    trainer.main(config_file, overrides, tmp_path / "one")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    train = ["-m", "t2g_ros.cli", "train", "--config", str(config_file), "--out", str(tmp_path / "two")]
    two = run(*torchrun, *train, *overrides)
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("tiny.safetensors") == 1
    for (step, name, one), (_, other, value) in zip(
        rows(tmp_path / "one")[1:], rows(tmp_path / "two")[1:], strict=True
    ):
        assert name == other
        assert float(value) == pytest.approx(float(one), rel=1e-3, abs=1e-5), (step, name)
    config = trainer.load_train_config(config_file, overrides)
    start = trainer.start_network(config, config_file.parent).state_dict()
    one, two = (load_file(tmp_path / out / "checkpoint.safetensors") for out in ("one", "two"))
    names = [name for name, value in start.items() if value.is_floating_point()]
    # Adam turns the rounding of a gradient that is all but zero into a step, so single weights tell little: the two
    # end within 2 % of the way that they went. With BatchNorm of each process alone it is 11 %.
    apart = torch.cat([(one[f"network.{n}"] - two[f"network.{n}"]).flatten() for n in names]).norm()
    way = torch.cat([(one[f"network.{n}"] - start[n]).flatten() for n in names]).norm()
    assert apart < 0.02 * way
    assert json.loads((tmp_path / "two" / "tiny.run.json").read_text())["processes"] == 2


def test_a_full_disk_stops_the_run_and_loses_nothing(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses to make files larger than 64 KB after step 2, as it refuses all where the disk is full."""
    resource = pytest.importorskip("resource")
    whole, out = trainer.main(config_file, ["steps=4"], tmp_path / "whole"), tmp_path / "out"
    original, (soft, hard) = Objective.forward, resource.getrlimit(resource.RLIMIT_FSIZE)

    def forward(self, batch):
        if (out / "checkpoint.safetensors").exists():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", forward)
        try:
            with pytest.raises(trainer.TrainingError, match=r"step 3: cannot write into .*File too large.*same"):
                trainer.main(config_file, ["steps=4"], out)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with safe_open(out / "checkpoint.safetensors", framework="pt") as file:
        assert file.metadata()["step"] == "2"
    assert not list(out.glob("*.part"))
    assert same_weights(whole, trainer.main(config_file, ["steps=4"], out))


def test_training_lowers_the_loss(config_file: Path, tmp_path: Path) -> None:
    trainer.main(config_file, ["steps=40", "validate_every=40", "lr=0.003", "encoder_lr=0.001"], tmp_path / "out")
    losses = [float(value) for _, name, value in rows(tmp_path / "out") if name == "segmentation"]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_a_checkpoint_of_another_config_or_other_data_is_refused(
    config_file: Path, drive: Path, tmp_path: Path
) -> None:
    trainer.main(config_file, ["steps=2"], tmp_path / "out")
    with pytest.raises(ModelError, match=r"made with other steps \(2 instead of 4\)"):
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
    original = Objective.forward

    def forward(self, batch):
        loss, parts = original(self, batch)
        return loss * float("nan"), parts

    monkeypatch.setattr(Objective, "forward", forward)
    with pytest.raises(trainer.TrainingError, match=r"step 1: the loss is .*'segmentation'"):
        trainer.main(config_file, [], tmp_path / "out")


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_reaches_the_weights(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Objective.forward

    def forward(self, batch):
        loss, parts = original(self, batch)
        # Finite, but not its slope: the root at 0.
        return loss + 0 * (loss - loss.detach()).abs().sqrt(), parts

    monkeypatch.setattr(Objective, "forward", forward)
    with pytest.raises(trainer.TrainingError, match="step 1: the gradient's norm is nan"):
        trainer.main(config_file, [], tmp_path / "out")


def test_weights_of_an_earlier_run_can_be_the_start(config_file: Path, tmp_path: Path) -> None:
    first = trainer.main(config_file, ["steps=2"], tmp_path / "first")
    second = trainer.main(config_file, ["steps=1", f"init={first}", "lr=0.0", "encoder_lr=0.0"], tmp_path / "second")
    a, b = load_file(first), load_file(second)
    assert all(torch.allclose(a[key], b[key]) for key in a if not key.split(".")[-1].startswith(("running", "num")))


def test_what_is_not_trained_stays_as_it_was(config_file: Path, tmp_path: Path) -> None:
    first = trainer.main(config_file, ["steps=1"], tmp_path / "first")
    told = ["steps=2", f"init={first}", "trained=[memory_decoder, pixel_memory, level]", "lr=0.01"]
    before, after = load_file(first), load_file(trainer.main(config_file, told, tmp_path / "second"))
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"memory_decoder", "pixel_memory", "level"}
    with pytest.raises(ConfigError, match=r"trained is .*expected some of .*pixel_memory.*not 'memory'"):
        trainer.main(config_file, ["trained=[memory]"], tmp_path / "third")


def test_the_learning_rate_warms_up_and_decays_to_nothing() -> None:
    config = TrainConfig(model=None, sources=(SourceConfig(kind="rendered", weight=1),), steps=100, warmup_steps=10)  # type: ignore[arg-type]
    factors = [trainer.learning_rate_factor(step, config) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors.index(max(factors)) == 9
    assert factors[-1] < 0.02
