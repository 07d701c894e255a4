"""What tests of every layer share."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from t2g_ros.model.config import ModelConfig

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the real format with random weights, at an input size small enough for tests."""
    from t2g_ros.model.config import ModelConfig

    config = ModelConfig(name="tiny_test", labels="cityscapes19", input_size=(128, 256))
    return _save_random(config, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def write_back_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `random_model`, whose frames stay in memory as what they became by reading it."""
    from t2g_ros.model.config import ModelConfig

    config = ModelConfig(name="write_back_test", labels="cityscapes19", input_size=(128, 256), pixel_write_back=True)
    return _save_random(config, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random checkpoints `dinov2`, `depth` and `clip` in the format of `transformers`."""
    import tiny_checkpoints

    folder = tmp_path_factory.mktemp("checkpoints")
    tiny_checkpoints.dinov2(folder / "dinov2")
    tiny_checkpoints.depth_anything(folder / "depth")
    tiny_checkpoints.clip(folder / "clip")
    return folder


@pytest.fixture(scope="session")
def large_config(checkpoints: Path) -> ModelConfig:
    """t2g_large with all its parts, but small, as training starts it from the checkpoints."""
    from t2g_ros.model.config import ModelConfig
    from t2g_ros.model.pretrained import complete_config

    values = {
        "name": "large_test",
        "labels": "cityscapes19",
        "input_size": [64, 128],
        "width": 32,
        "queries": 24,
        "query_rank": 4,
        "memory_strides": [8, 16, 32],
        "encoder": {"kind": "dinov2", "pretrained": "dinov2", "frozen": True, "taps": [1, 2, 3, 4]},
        "depth": {"pretrained": "depth"},
        "text": {"pretrained": "clip"},
        "pixel_decoder": {"kind": "deformable", "layers": 1, "heads": 4, "points": 2},
        "pixel_memory": False,
        "assignment": "hungarian",
        "masked_attention": True,
    }
    return complete_config(ModelConfig.from_dict(values), checkpoints)


@pytest.fixture(scope="session")
def large_model(large_config: ModelConfig, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `random_model`, of `large_config`; its encoders' weights are the checkpoints'."""
    return _save_random(large_config, tmp_path_factory.mktemp("models"), checkpoints)


def _save_random(config: ModelConfig, folder: Path, checkpoints: Path | None = None) -> Path:
    import torch
    from torch import nn

    from t2g_ros.model.checkpoint import save_model
    from t2g_ros.model.pretrained import load_pretrained
    from t2g_ros.model.time2general import Time2General
    from t2g_ros.model.time_embedding import TimeEmbedding

    network = Time2General(config)
    # As initialised for training the network says one class whatever it sees; with weights of this size
    # its masks depend visibly on the image, on the memory and on the offsets. Each tensor has draws of its own,
    # so that a new one changes no other.
    for name, parameter in network.named_parameters():
        torch.manual_seed(zlib.crc32(name.encode()))
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter)
        elif parameter.dim() > 1:
            nn.init.xavier_normal_(parameter)
        elif parameter.dim() == 1:
            nn.init.normal_(parameter, std=0.1)
    torch.manual_seed(0)
    if config.stability_queries:
        nn.init.normal_(network.queries.shared)
    if network.pixel_memory is not None:
        nn.init.normal_(network.pixel_memory.write.weight, std=0.1)
        nn.init.normal_(network.pixel_memory.sharpness.weight, std=0.01)
    if network.hungarian:
        nn.init.normal_(network.memory_decoder.class_head.weight)  # queries of many classes
    for module in network.modules():
        if isinstance(module, (nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.ones_(module.weight)
        if isinstance(module, TimeEmbedding):
            nn.init.xavier_normal_(module.project.weight, gain=0.5)  # a millisecond more is to matter little
    if checkpoints is not None:
        load_pretrained(network, checkpoints)
    path = folder / f"{config.name}.safetensors"
    save_model(network, path)
    return path


@pytest.fixture
def domain_id() -> Iterator[int]:
    """A DDS domain that no other test on this machine uses: whoever holds the port holds the domain."""
    for number in range(1, 100):
        lock = socket.socket()
        try:
            lock.bind(("127.0.0.1", 22100 + number))
        except OSError:
            lock.close()
            continue
        with lock:
            yield number
        return
    pytest.fail("no DDS domain is free")


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted models are shared between the nodes of a session."""
    return tmp_path_factory.mktemp("cache")
