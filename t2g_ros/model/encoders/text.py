"""Class names as a frozen CLIP text encoder sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPTextModelWithProjection

from t2g_ros.errors import ModelError
from t2g_ros.model.encoders.checkpoints import UNREADABLE, locate, read_config, read_network
from t2g_ros.model.sections import TextConfig

WHERE = "text.pretrained"
MODEL_TYPES = ("clip", "clip_text_model")


def complete_text(config: TextConfig, base: Path) -> TextConfig:
    """Copy the width of the text features from the checkpoint that the config names.

    Raises:
        ModelError: the checkpoint cannot be read or is none of CLIP.
    """
    if not config.pretrained:
        return config
    found = read_config(config.pretrained, base, WHERE)
    if found.model_type not in MODEL_TYPES:
        raise ModelError(
            f"{WHERE}: checkpoint {config.pretrained} is of type {found.model_type}, expected CLIP, such as "
            "openai/clip-vit-large-patch14"
        )
    return replace(config, width=int(found.projection_dim))


def encode_classes(config: TextConfig, classes: Sequence[str], base: Path) -> Tensor:
    """Text features of the classes, (K, C), unit vectors.

    Args:
        config: names the checkpoint, which is read here and not kept.
        classes: names as of a label space; `truck_bus` is read as "truck bus".
        base: where relative folders start.

    Raises:
        ModelError: the checkpoint or its tokenizer cannot be read.
    """
    network = read_network(CLIPTextModelWithProjection, config.pretrained, base, WHERE).eval()
    place = locate(config.pretrained, base)
    prompts = [config.template.replace("{class}", name.replace("_", " ").lower()) for name in classes]
    try:
        tokens = AutoTokenizer.from_pretrained(place)(prompts, padding=True, return_tensors="pt")
    except UNREADABLE as error:
        raise _no_tokenizer(place, str(error).strip().splitlines()[0]) from error
    # Without its files the tokenizer is there, too, but knows no word.
    if len(set(map(tuple, tokens["input_ids"].tolist()))) < len(set(prompts)):
        raise _no_tokenizer(place, "it does not tell the classes apart")
    with torch.no_grad():
        return F.normalize(network(**tokens).text_embeds, dim=-1)


def _no_tokenizer(place: str, why: str) -> ModelError:
    return ModelError(
        f"{WHERE}: checkpoint {place}: no tokenizer ({why}); expected tokenizer.json, or vocab.json and merges.txt, "
        "beside its weights"
    )
