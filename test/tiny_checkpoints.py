"""Random checkpoints of the encoders in the format of `transformers`, small enough for tests: same files, same keys."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ConvNextForImageClassification,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    PreTrainedModel,
    SwinConfig,
    SwinForImageClassification,
)

WIDTH, LAYERS, TEXT_WIDTH = 32, 4, 12


def save(network: PreTrainedModel, folder: Path, seed: int = 0) -> Path:
    """Write config.json and model.safetensors with weights that make every layer matter."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3 if parameter.dim() > 1 else 0.1)
    for name, parameter in network.named_parameters():
        if "norm" in name and name.endswith("weight"):
            nn.init.ones_(parameter)
        if "layer_scale" in name:
            nn.init.constant_(parameter, 0.5)
    network.save_pretrained(folder)
    return folder


def dinov2_config(**changes: Any) -> Dinov2Config:
    """Patches of 14 and a square grid of positions, as the published ones have."""
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "image_size": 70}
    return Dinov2Config(**(sizes | {"patch_size": 14, "mlp_ratio": 2} | changes))


def dinov2(folder: Path, seed: int = 0, **changes: Any) -> Path:
    return save(Dinov2Model(dinov2_config(**changes)), folder, seed)


def dinov3(folder: Path) -> Path:
    config = DINOv3ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=2 * WIDTH,
        num_register_tokens=2,
        image_size=64,
        patch_size=16,
    )
    return save(DINOv3ViTModel(config), folder)


def depth_anything(folder: Path, seed: int = 1, **changes: Any) -> Path:
    """Depth Anything V2, whose encoder is a DINOv2."""
    stages = changes.get("num_hidden_layers", LAYERS)
    backbone = dinov2_config(**changes, out_indices=list(range(stages - 3, stages + 1)), reshape_hidden_states=False)
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=backbone.hidden_size,
        neck_hidden_sizes=[8] * 4,
        fusion_hidden_size=8,
        head_hidden_size=8,
    )
    return save(DepthAnythingForDepthEstimation(config), folder, seed)


def swin(folder: Path) -> Path:
    config = SwinConfig(embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4], window_size=4, image_size=64)
    return save(SwinForImageClassification(config), folder)


def convnext(folder: Path) -> Path:
    return save(
        ConvNextForImageClassification(ConvNextConfig(depths=[1, 1, 2, 1], hidden_sizes=[8, 16, 24, 32])), folder
    )


def clip(folder: Path) -> Path:
    """A whole CLIP, as on the hub, with a byte-level tokenizer without merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [i for i in range(256) if i not in printable]
    letters = [chr(i) for i in printable] + [chr(256 + i) for i in range(len(others))]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    text = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": len(tokens),
        "max_position_embeddings": 77,
        "bos_token_id": len(tokens) - 2,
        "eos_token_id": len(tokens) - 1,
    }
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=text, vision_config=vision | {"image_size": 32, "patch_size": 16}, projection_dim=TEXT_WIDTH
    )
    config.text_config.projection_dim = config.vision_config.projection_dim = TEXT_WIDTH
    save(CLIPModel(config), folder)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return folder
