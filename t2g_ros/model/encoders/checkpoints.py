"""Checkpoints in the format of `transformers`: a folder or a name on the hub, safetensors only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from t2g_ros.errors import ModelError

UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)
"""What `transformers` raises for checkpoints that are missing, damaged or of another kind."""


def read_config(pretrained: str, base: Path, where: str) -> PreTrainedConfig:
    """Read a checkpoint's config.json.

    Args:
        pretrained: a folder, relative to `base`, or a name on the hub.
        base: where relative folders start.
        where: the key of our config that names it, for the error.

    Raises:
        ModelError: it cannot be read.
    """
    place = locate(pretrained, base)
    with _quiet():
        try:
            return AutoConfig.from_pretrained(place)
        except UNREADABLE as error:
            raise _unreadable(pretrained, base, where, error) from error


def read_network(
    kind: type[Any], pretrained: str, base: Path, where: str, *, new: tuple[str, ...] = (), **options: Any
) -> Any:
    """Read a checkpoint's weights into a network of the class `kind`.

    Args:
        kind: class of `transformers`.
        pretrained, base, where: as of `read_config`.
        new: prefixes of tensors that the checkpoint need not have.
        options: of `from_pretrained`.

    Raises:
        ModelError: it cannot be read, is no safetensors file, or lacks a tensor.
    """
    place = locate(pretrained, base)
    with _quiet():
        try:
            network, info = kind.from_pretrained(
                place, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
        except UNREADABLE as error:
            raise _unreadable(pretrained, base, where, error) from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(new or ("\0",)))
    wrong = sorted(str(key) for key in info["mismatched_keys"])
    if missing or wrong:
        raise ModelError(
            f"{where}: checkpoint {place}: {len(missing)} tensor(s) missing {missing[:3]}, "
            f"{len(wrong)} of another shape {wrong[:3]}; expected all of a {kind.__name__}"
        )
    return network


def locate(pretrained: str, base: Path) -> str:
    """The folder of that name below `base`, else the name itself, for the hub."""
    folder = base / Path(pretrained).expanduser()
    return str(folder) if folder.is_dir() else pretrained


def _unreadable(pretrained: str, base: Path, where: str, error: BaseException) -> ModelError:
    place = locate(pretrained, base)
    what = (
        f"checkpoint {place}" if place != pretrained else f"'{pretrained}' is no folder in {base}, and from the hub it"
    )
    return ModelError(
        f"{where}: {what} cannot be read ({str(error).strip().splitlines()[0]}); expected config.json and "
        "model.safetensors as transformers writes them"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep reports of unused tensors and progress bars of local files from the terminal; errors are raised."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
