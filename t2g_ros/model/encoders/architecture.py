"""The part of a checkpoint's config.json that is kept in our model config, from which its network is built again."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from t2g_ros.errors import ModelError

NOT_ARCHITECTURE = {
    *("architectures", "dtype", "transformers_version", "id2label", "label2id", "problem_type", "is_encoder_decoder"),
    *("out_features", "out_indices", "stage_names", "output_attentions", "output_hidden_states", "return_dict"),
    "chunk_size_feed_forward",
}
"""Entries of a config.json that do not say how the network is built."""


def architecture(config: PreTrainedConfig) -> dict[str, Any]:
    """What has to be kept of a checkpoint's config to build its network again."""
    return {
        key: value for key, value in config.to_dict().items() if key not in NOT_ARCHITECTURE and not key.startswith("_")
    }


def built_config(kept: dict[str, Any], types: tuple[str, ...], where: str, **changes: Any) -> Any:
    """The config of `transformers` that `architecture` was made of.

    Args:
        kept: what `architecture` returned.
        types: model types that are allowed.
        where: the key of our config that holds it, for the error.
        changes: values to use instead.

    Raises:
        ModelError: the type is another one, or a key or value is wrong.
    """
    values = dict(kept)
    if not values:
        raise ModelError(f"{where}: is empty; set 'pretrained' beside it, and training fills it in")
    found = values.pop("model_type", None)
    if found not in types:
        raise ModelError(f"{where}: model_type is {found!r}, expected one of {', '.join(types)}")
    unknown = sorted(values.keys() - AutoConfig.for_model(found).to_dict().keys())
    if unknown:
        raise ModelError(f"{where}: unknown key(s) {unknown} for a {found}")
    try:
        return AutoConfig.for_model(found, **(values | changes))
    except Exception as error:  # whatever the config class checks its values with
        raise ModelError(f"{where}: no config of a {found} ({error})") from error
