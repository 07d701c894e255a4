"""From a model's name to its weights file; needs no torch."""

from __future__ import annotations

from pathlib import Path

from t2g_ros.errors import InstallationError, ModelError
from t2g_ros.model.files import check_weights
from t2g_ros.share import share_dir


def resolve_model(model: str | Path) -> Path:
    """Return the weights file of a shipped model's name or of a path.

    Raises:
        ModelError: there is no such file (the message lists the shipped models), or it is no safetensors file.
    """
    path = _find(model)
    check_weights(path)
    return path


def _find(model: str | Path) -> Path:
    path = Path(model).expanduser()
    if path.suffix == ".safetensors":
        if not path.exists():
            raise ModelError(f"model {path}: no such file; expected a .safetensors file or a shipped model's name")
        return path
    try:
        folder = share_dir() / "models"
    except InstallationError as error:
        raise ModelError(str(error)) from error
    shipped = sorted(p.stem for p in folder.glob("*.safetensors"))
    if str(model) not in shipped:
        raise ModelError(f"model '{model}': not a .safetensors file and not a shipped model; shipped are {shipped}")
    return folder / f"{model}.safetensors"
