"""The training loop. Run: `t2g train --config config/train/t2g_tiny.yaml [key=value ...]`.

A killed run goes on where its last checkpoint was when it is started again with the same command.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from t2g_ros.errors import T2GError
from t2g_ros.model.checkpoint import load_fitting, save_model
from t2g_ros.model.encoders.mobilenet_v2 import MobileNetV2Encoder
from t2g_ros.model.pretrained import complete_config, load_pretrained
from t2g_ros.model.time2general import Time2General
from t2g_ros.training.batches import Batches
from t2g_ros.training.config import ConfigError, TrainConfig, load_train_config
from t2g_ros.training.objective import Objective
from t2g_ros.training.run_state import RunState, WeightAverage
from t2g_ros.training.validation import Validation

log = logging.getLogger(__name__)


class TrainingError(T2GError):
    """Training cannot go on; the message names the step."""


def parameter_groups(network: Time2General, config: TrainConfig) -> list[dict]:
    """AdamW groups: the ImageNet trunk learns slower; norms, biases, queries and scales do not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        encoder = name.startswith("encoder.trunk.")
        decays = parameter.ndim > 1 and not name.startswith(("queries.", "level"))
        groups.setdefault((encoder, decays), []).append(parameter)
    return [
        {
            "params": params,
            "peak_lr": config.encoder_lr if encoder else config.lr,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (encoder, decays), params in groups.items()
    ]


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then polynomial decay to 0."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return warm * (1.0 - step / config.steps) ** config.power


def start_network(config: TrainConfig, base: Path) -> Time2General:
    """Build the network around its encoders' pretrained weights, and load the weights to start from, if there are."""
    torch.manual_seed(config.seed)
    network = Time2General(config.model)
    load_pretrained(network, base)
    if config.init:
        loaded, all_of_them = load_fitting(network, base / config.init)
        log.info("%d of %d tensors start from %s, the others anew", loaded, all_of_them, base / config.init)
    elif config.imagenet:
        if not isinstance(network.encoder, MobileNetV2Encoder):
            raise ConfigError(f"imagenet is {config.imagenet!r}, expected '' for an encoder that is no mobilenet_v2")
        network.encoder.load_imagenet(base / config.imagenet)
    return network


def _multiplies_bf16() -> bool:
    """Whether this CPU has bf16 matrix units; without them bf16 is slower than f32."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def train(config: TrainConfig, base: Path, out: Path) -> Path:
    """Train and return the weights file `out/<name>.safetensors`.

    Args:
        config: the run.
        base: folder that relative paths of the config start from.
        out: folder for the checkpoint, the log `train.csv`, and the weights.

    Raises:
        InputError, ConfigError, ModelError: data, config or checkpoint is wrong.
        TrainingError: the loss is not finite; the last checkpoint is untouched.
    """
    config = replace(config, model=complete_config(config.model, base))
    out.mkdir(parents=True, exist_ok=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    batches = Batches(config, base)
    validations = [Validation(v, base) for v in config.validation]
    record = {"config": hashlib.sha256(repr(config).encode()).hexdigest()}
    record |= {f"data of source {i}": source.fingerprint() for i, source in enumerate(batches.sources)}
    checkpoint = out / "checkpoint.safetensors"
    resuming = checkpoint.exists()
    network = Time2General(config.model) if resuming else start_network(config, base)
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = WeightAverage(network, config.average)
    optimizer = torch.optim.AdamW(parameter_groups(network, config), lr=config.lr)
    state = RunState(network, average, optimizer)
    start = state.load(checkpoint, record) if resuming else 0
    objective = Objective(network, config, batches.weights)
    bf16 = config.precision == "bf16" or (config.precision == "auto" and _multiplies_bf16())
    weights = out / f"{config.model.name}.safetensors"
    with TrainLog(out / "train.csv", start) as table:
        progress = tqdm(range(start, config.steps), desc="train", initial=start, total=config.steps, disable=None)
        for step in progress:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * learning_rate_factor(step, config)
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss, parts = objective(batches.clips(step), generator)
            if not torch.isfinite(loss):
                raise TrainingError(f"step {step}: the loss is {loss.item()} ({parts}); the checkpoint is kept")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.grad_clip)
            optimizer.step()
            average.update(network, step)
            done = step + 1
            table.add(done, "loss", loss.item())
            for name, value in parts.items():
                table.add(done, name, value)
            progress.set_postfix(loss=f"{loss.item():.3f}", **{k[:3]: f"{v:.2f}" for k, v in parts.items()})
            if done % config.validate_every == 0 or done == config.steps:
                for validation in validations:
                    miou = validation.miou(average.network)
                    table.add(done, f"miou_{validation.name}", miou)
                    tqdm.write(f"step {done}: {validation.name} mIoU {100 * miou:.2f}")
            if done % config.checkpoint_every == 0 or done == config.steps:
                table.flush()
                state.save(checkpoint, done, record)
                save_model(average.network, weights)  # type: ignore[arg-type]
    batches.close()
    return weights


class TrainLog:
    """`train.csv`: step, name, value; a resumed run drops the rows after its checkpoint."""

    def __init__(self, path: Path, start: int) -> None:
        rows: list[list[str]] = []
        if start and path.exists():
            with path.open(newline="") as old:
                rows = [row for row in csv.reader(old) if row and row[0].isdigit() and int(row[0]) <= start]
        self.file = path.open("w", newline="")
        self.writer = csv.writer(self.file)
        self.writer.writerows([["step", "name", "value"], *rows])

    def add(self, step: int, name: str, value: float | Tensor) -> None:
        """Append one figure."""
        self.writer.writerow([step, name, f"{float(value):.6g}"])

    def flush(self) -> None:
        """Make everything so far readable."""
        self.file.flush()

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def main(config_path: Path, overrides: list[str], out: Path) -> Path:
    """Train what a config file describes; relative paths in it start at the file's own folder."""
    config = load_train_config(config_path, overrides)
    return train(config, config_path.parent.resolve(), out)
