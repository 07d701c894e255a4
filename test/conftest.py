"""What tests of every layer share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the real format with random weights, at an input size small enough for tests."""
    import torch

    from t2g_ros.model.checkpoint import save_model
    from t2g_ros.model.config import ModelConfig
    from t2g_ros.model.time2general import Time2General

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny_test.safetensors"
    save_model(Time2General(ModelConfig(name="tiny_test", labels="cityscapes19", input_size=(128, 256))), path)
    return path
