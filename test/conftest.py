"""What tests of every layer share."""

from pathlib import Path

import pytest


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
    for module in network.modules():
        if isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
            nn.init.ones_(module.weight)
    path = tmp_path_factory.mktemp("models") / "tiny_test.safetensors"
    save_model(network, path)
    return path
