"""What a model's files must be before anything is read of them: regular, readable, and of a size that can be meant."""

from __future__ import annotations

import hashlib
from pathlib import Path
from stat import S_ISREG

from t2g_ros.errors import ModelError

CHUNK = 1 << 20
MAX_CONFIG_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 16 << 30
"""Several times the largest encoder's."""
MAX_HEADER_BYTES = 16 << 20
"""Of a safetensors file, which names every tensor; its length is declared in the first eight bytes."""


def check_config(path: Path) -> None:
    """Raise `ModelError` unless the YAML file may be read."""
    _size(path, "model config", MAX_CONFIG_BYTES)


def check_weights(path: Path) -> None:
    """Raise `ModelError` unless the safetensors file may be read, and its header lies within it."""
    size = _size(path, "weights", MAX_WEIGHTS_BYTES)
    try:
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise ModelError(f"weights {path}: cannot be read ({error.strerror})") from error
    if size < 8 or header > min(MAX_HEADER_BYTES, size - 8):
        raise ModelError(
            f"weights {path}: not a readable safetensors file (a header of {header} bytes in a file of {size}, "
            f"expected at most {MAX_HEADER_BYTES}, within the file); is it complete?"
        )


def sha256(path: Path) -> bytes:
    """Hash of a file, which may be larger than one would hold in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.digest()


def _size(path: Path, what: str, limit: int) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(f"{what} {path}: cannot be read ({error.strerror})") from error
    if not S_ISREG(status.st_mode):
        raise ModelError(f"{what} {path}: found a folder or a device, expected a regular file")
    if status.st_size > limit:
        raise ModelError(f"{what} {path}: has {status.st_size} bytes, expected at most {limit}")
    return status.st_size
