"""The stability queries as inference computes them: the numbers of the modules that are trained."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from t2g_ros.model.config import ModelConfig
from t2g_ros.model.time2general import Time2General
from t2g_ros.runtimes.torch import prepare

SIZE = 64, 128
IMAGES = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1)) * 255


@pytest.fixture
def build(large_config: ModelConfig) -> Callable[..., Time2General]:
    """A network of t2g_large's form whose queries differ from layer to layer and change its tokens visibly."""

    def built(**changes: Any) -> Time2General:
        torch.manual_seed(0)
        network = Time2General(replace(large_config, **changes)).eval()
        nn.init.normal_(network.queries.shared)
        nn.init.normal_(network.queries.down)
        nn.init.normal_(network.modulation.write.weight)
        nn.init.constant_(network.modulation.scale, 0.2)
        if network.text is not None:
            network.text.features.normal_()
        return network

    return built


def encoded(network: Time2General) -> dict[str, Tensor]:
    with torch.inference_mode():
        return network.encode(IMAGES)


@pytest.mark.parametrize("off", [{}, {"depth": None}, {"text": None}], ids=["all", "no depth", "no text"])
def test_features_are_those_of_the_modules_that_are_trained(build: Callable[..., Time2General], off: Any) -> None:
    network = build(**off)
    expected = encoded(network)
    nn.init.zeros_(network.modulation.scale)
    unchanged = encoded(network)["mask_features"]
    nn.init.constant_(network.modulation.scale, 0.2)
    assert not torch.allclose(unchanged, expected["mask_features"], atol=1e-2)
    prepare(network, SIZE, torch.float32)
    for name, found in encoded(network).items():
        torch.testing.assert_close(found, expected[name], atol=1e-4, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_in_bf16_they_are_nearly_so(build: Callable[..., Time2General]) -> None:
    network = build()
    expected = encoded(network)
    prepare(network, SIZE, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = encoded(network)
    for name, full in expected.items():
        assert found[name].dtype == torch.bfloat16
        alike = torch.nn.functional.cosine_similarity(found[name].float().flatten(1), full.flatten(1))
        assert alike.min() > 0.99, name


@pytest.mark.skipif(
    not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs a CUDA device, or Triton with TRITON_INTERPRET=1",
)
def test_the_gpu_s_kernel_gives_the_same_softmax() -> None:
    from t2g_ros.model.kernels.softmax import softmax_of_rows

    logits = torch.randn(2, 3, 700, generator=torch.Generator().manual_seed(0)) * 5
    found = softmax_of_rows(logits.to("cuda" if torch.cuda.is_available() else "cpu"))
    torch.testing.assert_close(found.cpu(), logits.softmax(dim=-1))
