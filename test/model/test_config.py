"""The YAML beside the weights."""

from pathlib import Path

import pytest

from t2g_ros.errors import ModelError
from t2g_ros.model.config import ModelConfig


def test_roundtrip(tmp_path: Path) -> None:
    config = ModelConfig(name="other", labels="camvid11", input_size=(64, 192), memory_strides=(16, 32))
    config.save(tmp_path / "c.yaml")
    assert ModelConfig.load(tmp_path / "c.yaml") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nwidht: 64\n", r"unknown key\(s\) \['widht'\]; known keys are .*'width'"),
        ("width: wide\n", "width is 'wide', expected int"),
        ("width: true\n", "width is True, expected int"),
        ("input_size: 64\n", "input_size is 64, expected a list of integers"),
        ("input_size: [64.0, 64.0]\n", "input_size .* expected a list of integers"),
        ("input_size: [64]\n", r"input_size is \(64,\), expected height and width"),
        ("input_size: [100, 64]\n", r"input_size is \(100, 64\), expected .*positive multiples of 64"),
        ("width: 65\n", "width is 65, expected a multiple of heads, 2"),
        ("heads: 0\n", "heads is 0"),
        ("clip_frames: 0\n", "clip_frames is 0"),
        ("labels: dogs\n", "labels.*'dogs'.*cityscapes19"),
        ("memory_strides: [7]\n", r"memory_strides.*7"),
        ("queries: 12\n", "queries is 12.*19"),
        ("- a\n- b\n", "found list, expected a mapping"),
        ("", "found NoneType, expected a mapping"),
        ("a: [1\n", "cannot be read"),
        ("\0", "cannot be read"),
    ],
)
def test_a_bad_config_is_refused_with_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ModelError, match=f"bad.yaml.*{message}"):
        ModelConfig.load(path)


def test_no_yaml_tag_builds_an_object(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'sprung'}]\n")
    with pytest.raises(ModelError, match="cannot be read"):
        ModelConfig.load(path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ModelError, match=r"bad\.yaml: cannot be read"):
        ModelConfig.load(tmp_path / "bad.yaml")
