from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from t2g_ros.errors import ModelError
from t2g_ros.training.files import replacing
from t2g_ros.training.run_state import RunState, WeightAverage, frozen_hash


def half_frozen(seed: int) -> nn.Sequential:
    """A frozen layer, a trained one, and running statistics."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    network[0].requires_grad_(False)
    return network


def started(seed: int) -> tuple[nn.Sequential, WeightAverage, RunState]:
    network = half_frozen(seed)
    average = WeightAverage(network, 0.9)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad])
    for step in range(3):
        network(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
        average.update(network, step)
    return network, average, RunState(network, average, optimizer)


def test_frozen_weights_are_shared_and_neither_averaged_nor_saved(tmp_path: Path) -> None:
    network, average, state = started(0)
    assert average.network[0].weight is network[0].weight
    assert average.network[2].weight is not network[2].weight
    state.save(tmp_path / "c.safetensors", 3, {}, {})
    saved = load_file(tmp_path / "c.safetensors")
    assert not [name for name in saved if ".0." in name.removeprefix("optimizer.")]
    assert {"network.2.weight", "average.2.weight", "network.1.running_mean"} <= saved.keys()


def test_the_average_by_hand() -> None:
    network = half_frozen(0)
    average = WeightAverage(network, 0.9)
    start = network[2].weight.detach().clone()
    with torch.no_grad():
        network[2].weight.add_(1.0)
    average.update(network, 0)  # early on it moves faster: by 1 - 1 / 10
    assert torch.allclose(average.network[2].weight, start + 0.9)
    average.update(network, 1000)
    assert torch.allclose(average.network[2].weight, start + 0.9 + 0.1 * 0.1)


def test_a_state_comes_back_exactly(tmp_path: Path) -> None:
    network, average, state = started(0)
    state.save(tmp_path / "c.safetensors", 3, {"data": "a"}, {"best": {"step": 2}})
    other, other_average, other_state = started(1)
    other.load_state_dict({**other.state_dict(), **{k: v for k, v in network.state_dict().items() if k[0] == "0"}})
    assert other_state.load(tmp_path / "c.safetensors", {"data": "a"}) == (3, {"best": {"step": 2}})
    for mine, theirs in ((network, other), (average.network, other_average.network)):
        assert all(torch.equal(v, theirs.state_dict()[k]) for k, v in mine.state_dict().items())
    mine, theirs = (s.optimizer.state_dict()["state"] for s in (state, other_state))
    assert all(torch.equal(mine[i][k], theirs[i][k]) for i in mine for k in mine[i])


def test_frozen_weights_of_another_kind_are_noticed() -> None:
    assert frozen_hash(half_frozen(0)) == frozen_hash(half_frozen(0))
    assert frozen_hash(half_frozen(0)) != frozen_hash(half_frozen(1))
    assert frozen_hash(nn.Linear(2, 2)) == ""


def test_another_network_s_checkpoint_is_refused(tmp_path: Path) -> None:
    started(0)[2].save(tmp_path / "c.safetensors", 3, {}, {})
    network = nn.Linear(2, 2)
    state = RunState(network, WeightAverage(network, 0.9), torch.optim.AdamW(network.parameters()))
    with pytest.raises(ModelError, match=r"c\.safetensors: holds other tensors"):
        state.load(tmp_path / "c.safetensors", {})


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def break_off() -> None:
        with replacing(path) as partial:
            partial.write_text("new, but not all of it")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        break_off()
    assert path.read_text() == "old"
    with replacing(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
