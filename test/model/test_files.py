"""A model's files are looked at before they are read: what is no regular file of a sound size is refused by name."""

import os
from pathlib import Path

import pytest

from t2g_ros.errors import ModelError
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.files import MAX_CONFIG_BYTES, MAX_HEADER_BYTES, MAX_WEIGHTS_BYTES
from t2g_ros.model.shipped import resolve_model


def sparse(path: Path, size: int, start: bytes = b"") -> Path:
    """A file that declares this size and takes no space."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    return path


def test_a_whole_model_is_taken(random_model: Path) -> None:
    assert resolve_model(random_model) == random_model


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "device.safetensors").symlink_to("/dev/zero")
    for name in ("folder", "pipe", "device"):
        with pytest.raises(ModelError, match=rf"{name}\.safetensors: found a folder or a device, expected a regular"):
            resolve_model(tmp_path / f"{name}.safetensors")
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ModelError, match=r"model config .*config\.yaml: found a folder or a device"):
        ModelConfig.load(tmp_path / "config.yaml")


def test_sizes_are_limited_before_anything_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for size, header, text in (
        (MAX_WEIGHTS_BYTES + 1, 100, f"has {MAX_WEIGHTS_BYTES + 1} bytes, expected at most"),
        (1 << 30, MAX_HEADER_BYTES + 1, f"a header of {MAX_HEADER_BYTES + 1} bytes"),
        (1000, 993, "a header of 993 bytes in a file of 1000"),
        (1000, 2**64 - 1, "a header of 18446744073709551615 bytes"),
        (7, 0, "in a file of 7"),
    ):
        sparse(path, size, header.to_bytes(8, "little")[:size])
        with pytest.raises(ModelError, match=text):
            resolve_model(path)
    with pytest.raises(ModelError, match=rf"config\.yaml: has {MAX_CONFIG_BYTES + 1} bytes"):
        ModelConfig.load(sparse(tmp_path / "config.yaml", MAX_CONFIG_BYTES + 1))
