"""The training loop. Run: `t2g train --config config/train/t2g_tiny.yaml [key=value ...]`.

On several GPUs, or machines: `torchrun --nproc-per-node N -m t2g_ros.cli train --config ...`; with as many clips per
step the weights are the same to rounding. A killed run goes on where its last checkpoint was when it is started again
with the same command.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError
from torch import Tensor, distributed

from t2g_ros.errors import T2GError
from t2g_ros.model.checkpoint import load_fitting, save_model
from t2g_ros.model.encoders.mobilenet_v2 import MobileNetV2Encoder
from t2g_ros.model.pretrained import complete_config, load_pretrained
from t2g_ros.model.time2general import Time2General
from t2g_ros.training.batch_norm import synchronise_batch_norm
from t2g_ros.training.batches import Batch, Batches
from t2g_ros.training.config import ConfigError, TrainConfig, load_train_config
from t2g_ros.training.devices import start_fabric
from t2g_ros.training.objective import Objective
from t2g_ros.training.optimization import freeze_all_but, learning_rate_factor, parameter_groups
from t2g_ros.training.run_log import RunLog
from t2g_ros.training.run_record import identity, write_record
from t2g_ros.training.run_state import RunState, WeightAverage, frozen_hash
from t2g_ros.training.sources import open_sources
from t2g_ros.training.validation import Validation

log = logging.getLogger(__name__)


class TrainingError(T2GError):
    """Training cannot go on; the message names the step."""


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


def train(config: TrainConfig, base: Path, out: Path) -> Path:
    """Train and return the weights file `out/<name>.safetensors`.

    Args:
        config: the run.
        base: folder that relative paths of the config start from.
        out: folder for the checkpoint, the logs `train.csv` and `tensorboard/`, the latest weights
            `<name>.safetensors`, those of the best validation `<name>_best.safetensors`, and the record
            `<name>.run.json`.

    Raises:
        InputError, ConfigError, ModelError: data, config or checkpoint is wrong.
        TrainingError: the loss is not finite, or the disk is full; the last checkpoint is untouched.
    """
    config = replace(config, model=complete_config(config.model, base))
    fabric = start_fabric(config)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with fabric.rank_zero_first():
            sources = open_sources(config, base, cache=out)
        batches = Batches(config, sources, fabric.global_rank, fabric.world_size)
        return _Run(config, base, out, fabric, batches).train()
    finally:
        if fabric.world_size > 1:
            distributed.destroy_process_group()


class _Run:
    """Everything that one run holds."""

    def __init__(self, config: TrainConfig, base: Path, out: Path, fabric: Fabric, batches: Batches) -> None:
        self.config, self.out, self.fabric, self.batches = config, out, fabric, batches
        self.checkpoint = out / "checkpoint.safetensors"
        self.weights = out / f"{config.model.name}.safetensors"
        self.validations = [Validation(v, base, config.model.labels, fabric) for v in config.validation]
        network = start_network(config, base)
        if fabric.world_size > 1:
            synchronise_batch_norm(network)
        network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        freeze_all_but(network, config.trained)
        self.network = network.to(fabric.device)
        self.average = WeightAverage(self.network, config.average)
        optimizer = torch.optim.AdamW(parameter_groups(self.network, config), lr=config.lr)
        self.state = RunState(self.network, self.average, optimizer)
        self.record = identity(config, batches.sources, frozen_hash(self.network))
        self.validation: dict[str, Any] = {"last": None, "best": None}
        self.start = 0
        if fabric.broadcast(self.checkpoint.exists()):
            self.start, self.validation = self.state.load(self.checkpoint, self.record)
        self.objective, self.optimizer = fabric.setup(
            Objective(self.network, config, batches.class_weights()), optimizer
        )

    def train(self) -> Path:
        """Do the steps that are left."""
        config = self.config
        with RunLog(self.out if self.fabric.is_global_zero else None, self.start, config.steps) as table:
            for step, batch in zip(table, self.batches.from_step(self.start), strict=True):
                try:
                    table.add(step + 1, self._step(step, batch, table))
                    done = step + 1
                    if done % config.validate_every == 0 or done == config.steps:
                        self._validate(done, table)
                    if done % config.checkpoint_every == 0 or done == config.steps:
                        table.flush()
                        self._keep(done)
                except (OSError, SafetensorError) as error:
                    raise TrainingError(
                        f"step {step + 1}: cannot write into {self.out} ({error}); make room and give the same "
                        "command, which goes on from the last checkpoint"
                    ) from error
        return self.weights

    def _step(self, step: int, batch: Batch, table: RunLog) -> dict[str, float]:
        """One step of the optimiser; returns what is worth logging."""
        config, fabric = self.config, self.fabric
        factor = learning_rate_factor(step, config)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        loss, parts = self.objective(fabric.to_device(batch))
        # All processes look at the mean, so that all of them stop where one has no number.
        found = cast(Tensor, fabric.all_reduce(torch.stack([loss.detach(), *parts.values()]), reduce_op="mean"))
        figures = dict(zip(["loss", *parts], found.tolist(), strict=True))
        self._expect_finite(figures["loss"], step, f"the loss is {figures}")
        self.optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        norm = fabric.clip_gradients(
            self.objective, self.optimizer, max_norm=config.grad_clip, error_if_nonfinite=False
        )
        figures["gradient_norm"] = float(cast(Tensor, norm))
        self._expect_finite(figures["gradient_norm"], step, f"the gradient's norm is {norm}")
        self.optimizer.step()
        self.average.update(self.network, step)
        table.show(figures["loss"], {name: figures[name] for name in parts})
        return {**figures, "lr": config.lr * factor}

    def _expect_finite(self, value: float, step: int, what: str) -> None:
        if value - value != 0:
            raise TrainingError(f"step {step + 1}: {what}, expected finite numbers; {self.checkpoint.name} is kept")

    def _validate(self, done: int, table: RunLog) -> None:
        """Validate the average, and keep its weights if they are the best so far by mean mIoU."""
        figures: dict[str, float] = {}
        for validation in self.validations:
            found = validation.figures(self.average.network)
            figures |= {f"{name}_{validation.name}": value for name, value in found.items()}
            table.say(f"step {done}: {validation.name} " + ", ".join(f"{k} {100 * v:.2f} %" for k, v in found.items()))
            if validation.picture is not None:
                table.picture(done, validation.name, validation.picture)
        table.add(done, figures)
        ious = [value for name, value in figures.items() if name.startswith("miou_")]
        if not ious:
            return
        result = {"step": done, "mean_miou": sum(ious) / len(ious), **figures}
        self.validation["last"], best = result, self.validation["best"]
        if best is None or result["mean_miou"] > best["mean_miou"]:
            self.validation["best"] = result
            if self.fabric.is_global_zero:
                save_model(self.average.network, self.out / f"{self.config.model.name}_best.safetensors")

    def _keep(self, done: int) -> None:
        """Save all that the run needs to go on, and the weights."""
        if self.fabric.is_global_zero:
            self.state.save(self.checkpoint, done, self.record, self.validation)
            save_model(self.average.network, self.weights)
            path = self.weights.with_suffix(".run.json")
            write_record(path, self.config, self.record, self.fabric, done, self.validation)


def main(config_path: Path, overrides: list[str], out: Path) -> Path:
    """Train what a config file describes; relative paths in it start at the file's own folder."""
    config = load_train_config(config_path, overrides)
    return train(config, config_path.parent.resolve(), out)
