from collections.abc import Iterator

import pytest
import torch

from t2g_ros.training import devices
from t2g_ros.training.config import ConfigError, SourceConfig, TrainConfig
from t2g_ros.training.devices import multiplies_bf16, start_fabric


def config(**values) -> TrainConfig:
    return TrainConfig(model=None, sources=(SourceConfig(kind="rendered", weight=1),), **values)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"amx_bf16": True}, True),  # Intel Sapphire Rapids
        ({"amx_bf16": False, "avx512_bf16": True}, True),  # AMD Zen 4
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_bf16_is_chosen_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert multiplies_bf16(cuda=False) is native
    precision = start_fabric(config(device="cpu"))._precision.precision
    assert precision == ("bf16-mixed" if native else "32-true")


def test_the_names_of_the_instructions_are_torch_s() -> None:
    """torch's own table has both on every x86-64 CPU, true or false."""
    known = torch.cpu.get_capabilities()
    if known.get("architecture") != "x86_64":
        pytest.skip("the instructions are x86's")
    assert {"amx_bf16", "avx512_bf16"} <= known.keys()


def test_a_precision_asked_for_is_used() -> None:
    assert start_fabric(config(device="cpu", precision="f32"))._precision.precision == "32-true"
    assert start_fabric(config(device="cpu", precision="bf16"))._precision.precision == "bf16-mixed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="device is cuda, but torch finds no GPU; use auto or cpu"):
        start_fabric(config(device="cuda"))


def test_torch_leaves_the_workers_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(devices, "cores", lambda: 4)
    for workers, expected in ((1, 3), (3, 1), (9, 1)):
        start_fabric(config(device="cpu", workers=workers))
        assert torch.get_num_threads() == expected


def test_threads_that_were_asked_for_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    torch.set_num_threads(2)  # torch read the variable when it started
    start_fabric(config(device="cpu"))
    assert torch.get_num_threads() == 2
    start_fabric(config(device="cpu", threads=3))
    assert torch.get_num_threads() == 3
