"""What tests of every layer share."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the real format with random weights, at an input size small enough for tests."""
    import torch
    from torch import nn

    from t2g_ros.model.checkpoint import save_model
    from t2g_ros.model.config import ModelConfig
    from t2g_ros.model.time2general import Time2General

    torch.manual_seed(0)
    network = Time2General(ModelConfig(name="tiny_test", labels="cityscapes19", input_size=(128, 256)))
    # As initialised for training the network says one class whatever it sees; with weights of this size
    # its masks depend visibly on the image, on the memory and on the offsets.
    for parameter in network.parameters():
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter)
        elif parameter.dim() > 1:
            nn.init.xavier_normal_(parameter)
        elif parameter.dim() == 1:
            nn.init.normal_(parameter, std=0.1)
    nn.init.normal_(network.queries.shared)
    assert network.pixel_memory is not None
    nn.init.normal_(network.pixel_memory.write.weight, std=0.1)
    for module in network.modules():
        if isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
            nn.init.ones_(module.weight)
    path = tmp_path_factory.mktemp("models") / "tiny_test.safetensors"
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
