"""Weights files: the roundtrip, and every way in which a file can be wrong."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load, save_file

from t2g_ros.errors import ModelError
from t2g_ros.model.checkpoint import load_fitting, load_model, save_model
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.shipped import resolve_model
from t2g_ros.model.time2general import Time2General


@pytest.fixture
def model(random_model: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copy(random_model.with_suffix(".yaml"), tmp_path / "m.yaml")
    return Path(shutil.copy(random_model, tmp_path / "m.safetensors"))


def change(path: Path, **changes: torch.Tensor | None) -> None:
    """Rewrite a file with tensors replaced, added or (None) left out."""
    tensors = load(path.read_bytes())
    tensors.update({key.replace("__", "."): value for key, value in changes.items() if value is not None})
    for key, value in changes.items():
        if value is None:
            del tensors[key.replace("__", ".")]
    save_file(tensors, path)


def test_roundtrip(random_model: Path, tmp_path: Path) -> None:
    network = load_model(random_model)
    assert not network.training
    copy = tmp_path / "copy.safetensors"
    save_model(network, copy)
    again = load_model(copy)
    assert again.config == network.config
    for key, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.safetensors", "copy.yaml"]


def test_a_config_without_weights(model: Path) -> None:
    model.unlink()
    with pytest.raises(ModelError, match=r"weights .*m\.safetensors: .*(No such file|not a readable)"):
        load_model(model)


def test_weights_without_a_config(model: Path) -> None:
    model.with_suffix(".yaml").unlink()
    with pytest.raises(ModelError, match=r"model config .*m\.yaml: cannot be read"):
        load_model(model)


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 4096, b"\xff" * 64])
def test_something_else_than_weights(model: Path, content: bytes) -> None:
    model.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.safetensors: not a readable safetensors file"):
        load_model(model)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_truncated_weights(model: Path, share: float) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"m\.safetensors: not a readable safetensors file"):
        load_model(model)


def test_a_pickle_is_refused_and_never_run(model: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (trap,)

    for content in (load(model.read_bytes()), Trap()):
        torch.save(content, model)
        with pytest.raises(ModelError, match=r"m\.safetensors: not a readable safetensors file"):
            load_model(model)
    assert not trap.exists()


def test_weights_of_another_network(model: Path) -> None:
    save_file({"layer.weight": torch.zeros(2, 2)}, model)
    with pytest.raises(ModelError, match=r"do not belong to a tiny_test network: \d+ .*missing.*1 unknown.*layer"):
        load_model(model)


def test_a_missing_tensor_is_named(model: Path) -> None:
    change(model, query_out__bias=None)
    with pytest.raises(ModelError, match=r"m\.safetensors.*1 tensor\(s\) missing \['query_out\.bias'\], 0 unknown"):
        load_model(model)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(model: Path) -> None:
    change(model, query_out__bias=torch.zeros(7))
    with pytest.raises(ModelError, match=r"m\.safetensors: query_out\.bias has shape \[7\], expected \[64\]"):
        load_model(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(model: Path, value: float) -> None:
    bias = torch.zeros(64)
    bias[3] = value
    change(model, query_out__bias=bias)
    with pytest.raises(ModelError, match=r"m\.safetensors: query_out\.bias holds values that are not finite"):
        load_model(model)


def test_another_class_count_than_the_config_says(model: Path) -> None:
    config = yaml.safe_load(model.with_suffix(".yaml").read_text())
    model.with_suffix(".yaml").write_text(yaml.safe_dump(config | {"labels": "camvid11"}))
    with pytest.raises(ModelError, match=r"m\.safetensors: .*cityscapes19.*19.*camvid11.*11"):
        load_model(model)


def test_an_unfinished_write_leaves_the_old_weights(
    model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = model.read_bytes()
    network = load_model(model)
    (tmp_path / "m.safetensors.part").mkdir()  # what is written first cannot be written
    with pytest.raises(Exception, match=r"m\.safetensors\.part|[Dd]irectory"):
        save_model(network, model)
    assert model.read_bytes() == before


def test_resolve_model_takes_a_path_or_a_shipped_name(random_model: Path) -> None:
    assert resolve_model(random_model) == random_model
    assert resolve_model(str(random_model)) == random_model
    with pytest.raises(ModelError, match=r"no_such\.safetensors: no such file"):
        resolve_model("no_such.safetensors")
    with pytest.raises(ModelError, match=r"'no_such'.*shipped are|no 'models' folder"):
        resolve_model("no_such")


def test_memory_of_another_length_needs_no_other_weights(model: Path) -> None:
    config = yaml.safe_load(model.with_suffix(".yaml").read_text())
    model.with_suffix(".yaml").write_text(yaml.safe_dump(config | {"clip_frames": 3, "input_size": [64, 64]}))
    network = load_model(model)
    assert isinstance(network, Time2General)
    assert network.config == ModelConfig(name="tiny_test", clip_frames=3, input_size=(64, 64))


def test_what_fits_is_taken_over_and_the_rest_left(model: Path) -> None:
    theirs = load(model.read_bytes())
    change(model, query_out__bias=torch.zeros(3), not__ours=torch.zeros(3))
    torch.manual_seed(1)
    network = Time2General(ModelConfig.load(model.with_suffix(".yaml")))
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    assert load_fitting(network, model) == (len(before) - 1, len(before))
    after = network.state_dict()
    torch.testing.assert_close(after["query_out.bias"], before["query_out.bias"])
    torch.testing.assert_close(after["query_out.weight"], theirs["query_out.weight"])


def test_weights_of_which_nothing_fits_are_refused(model: Path) -> None:
    save_file({"foreign": torch.zeros(2)}, model)
    network = Time2General(ModelConfig.load(model.with_suffix(".yaml")))
    with pytest.raises(ModelError, match=r"m\.safetensors: none of 1 tensors fits"):
        load_fitting(network, model)
