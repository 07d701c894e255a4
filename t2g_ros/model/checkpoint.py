"""Saving and loading a network: `<name>.safetensors` with `<name>.yaml` beside it. Nothing unpickles."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from t2g_ros.errors import ModelError
from t2g_ros.labels import SPACES
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.time2general import Time2General


def save_model(network: Time2General, path: Path) -> None:
    """Write weights and config; the weights appear under their name only once they are complete."""
    tensors = {k: v.detach().float().contiguous().cpu() for k, v in network.state_dict().items()}
    partial = path.with_suffix(".safetensors.part")
    save_file(tensors, partial, metadata={"format": "t2g_ros", "labels": network.config.labels})
    network.config.save(path.with_suffix(".yaml"))
    partial.replace(path)


def load_model(path: Path) -> Time2General:
    """Build the network of the config beside `path` and load its weights, in eval mode.

    Raises:
        ModelError: a file is missing, corrupt or foreign, or a tensor is missing, too many, of another
            shape or not finite, or the weights were trained for another label space.
    """
    config = ModelConfig.load(path.with_suffix(".yaml"))
    with _uninitialized(config):
        network = Time2General(config)
    expected = network.state_dict()
    found, metadata = _read(path)
    labels = metadata.get("labels", config.labels)
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        raise ModelError(
            f"weights {path}: do not belong to a {config.name} network: "
            f"{len(missing)} tensor(s) missing {missing[:3]}, {len(extra)} unknown {extra[:3]}; "
            "weights of another release can start a training (init), which gives weights of this one"
        )
    if labels != config.labels:
        # Before the shapes, which would name a tensor alone, or with as many classes nothing.
        classes = f"{len(SPACES[labels])} classes" if labels in SPACES else "unknown"
        raise ModelError(
            f"weights {path}: trained for {labels} ({classes}), expected {config.labels} ({network.classes} classes) "
            f"as {path.stem}.yaml says; weights and config must belong together"
        )
    for key, tensor in found.items():
        if tensor.shape != expected[key].shape:
            raise ModelError(
                f"weights {path}: {key} has shape {list(tensor.shape)}, expected {list(expected[key].shape)}; "
                f"weights and {path.stem}.yaml must belong together"
            )
        if not tensor.isfinite().all():
            raise ModelError(f"weights {path}: {key} holds values that are not finite; the file is damaged")
    network.load_state_dict(found)
    return network.eval()


def load_fitting(network: Time2General, path: Path) -> tuple[int, int]:
    """Load those tensors of another network's weights whose names and shapes `network` has, too.

    Returns:
        How many of the network's tensors were loaded, and how many it has.

    Raises:
        ModelError: the file is missing or corrupt, or no tensor fits.
    """
    own = network.state_dict()
    found, _ = _read(path)
    fitting = {key: tensor for key, tensor in found.items() if key in own and own[key].shape == tensor.shape}
    if not fitting:
        raise ModelError(f"weights {path}: none of {len(found)} tensors fits a {network.config.name} network")
    network.load_state_dict(own | fitting)
    return len(fitting), len(own)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a weights file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"weights {path}: not a readable safetensors file ({error})") from error


def _uninitialized(config: ModelConfig) -> AbstractContextManager[None]:
    """Build large encoders without drawing random weights, which takes longer than reading those of the file."""
    if config.encoder.kind == "mobilenet_v2":
        return nullcontext()
    from transformers.initialization import no_init_weights

    return no_init_weights()
