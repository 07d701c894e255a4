"""Every part of the network can be switched off; what is off has no weights and leaves no operation."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from t2g_ros.errors import ModelError
from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.features import feature_shapes
from t2g_ros.model.sections import EncoderConfig
from t2g_ros.model.time2general import FrameFeatures, Time2General
from t2g_ros.runtimes.graphs import GRAPHS, example_inputs

TIMES_S = torch.tensor([[0.0, 0.1, 0.3]])
OFF: dict[str, dict[str, Any]] = {
    "depth": {"depth": None},
    "text": {"text": None},
    "stability_queries": {"depth": None, "text": None, "stability_queries": False},
    "time_embedding": {"time_embedding": False},
    "memory": {"time_embedding": False, "pixel_memory": False, "memory": False},
    "pixel_memory": {"pixel_memory": False},
    "masked_attention": {"masked_attention": False},
}
GONE = {
    "depth": ("depth.", "modulation.read_depth."),
    "text": ("text.",),
    "stability_queries": ("depth.", "text.", "queries.", "modulation.", "query_in.", "query_out."),
    "time_embedding": (
        "memory_decoder.time.",
        "memory_decoder.layers.0.memory_attention.time_key.",
        "memory_decoder.layers.1.memory_attention.time_key.",
        "pixel_memory.time.",
    ),
    "memory": (
        "memory_decoder.time.",
        "memory_decoder.layers.0.memory_attention.time_key.",
        "memory_decoder.layers.1.memory_attention.time_key.",
        "pixel_memory.",
    ),
    "pixel_memory": ("pixel_memory.",),
    "masked_attention": (),
}
COSTS = {"depth": "encode", "text": "encode", "stability_queries": "encode"}
"""The graph that a part is in; the others are in `decode`."""


@pytest.fixture(scope="module")
def build(large_config: ModelConfig) -> Callable[..., Time2General]:
    """Build t2g_large, all parts on, with some of them switched off."""

    @cache
    def built(part: str = "") -> Time2General:
        torch.manual_seed(0)
        return Time2General(replace(large_config, pixel_memory=True) if not part else off(part)).eval()

    def off(part: str) -> ModelConfig:
        return replace(large_config, **({"pixel_memory": True} | OFF[part]))

    return built


def operations(network: Time2General, name: str) -> int:
    """Operations of a traced graph."""
    with torch.no_grad():
        traced = torch.jit.trace(GRAPHS[name](network), example_inputs(network, name), check_trace=False)
    return sum(1 for _ in traced.inlined_graph.nodes())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("part", OFF)
def test_what_is_off_has_no_weights_and_no_operations(build: Callable[..., Time2General], part: str) -> None:
    full, less = build(), build(part)
    gone = {name for name in full.state_dict() if name.startswith(GONE[part])}
    assert full.state_dict().keys() - less.state_dict().keys() == gone
    added = {"decoder_queries"} if part == "stability_queries" else set()
    assert less.state_dict().keys() - full.state_dict().keys() == added
    graph = COSTS.get(part, "decode")
    assert operations(less, graph) < operations(full, graph)


@pytest.mark.parametrize("part", OFF)
def test_a_network_without_the_part_segments_streams_like_clips(build: Callable[..., Time2General], part: str) -> None:
    network = build(part)
    height, width = network.config.input_size
    clip = torch.rand(1, 3, 3, height, width, generator=torch.Generator().manual_seed(1)) * 255
    with torch.inference_mode():
        whole = network(clip, TIMES_S).scores
        frames = [network.encode(clip[:, t]) for t in range(3)][-network.config.slots :]
        memory = {name: torch.stack([f[name] for f in frames], dim=1) for name in frames[0]}
        offsets = (TIMES_S - TIMES_S[:, -1:])[:, -network.config.slots :]
        streamed = network.decode(frames[-1], memory, offsets, torch.ones_like(offsets)).scores
    torch.testing.assert_close(streamed, whole, atol=1e-4, rtol=0)
    shapes = {name: tuple(f.shape[2:]) for name, f in memory.items()}
    assert shapes == feature_shapes(network.config)


@pytest.fixture(scope="module")
def features(large_model: Path) -> tuple[Time2General, FrameFeatures]:
    network = load_model(large_model)
    clip = torch.rand(3, 3, *network.config.input_size, generator=torch.Generator().manual_seed(1)) * 255
    with torch.inference_mode():
        return network, {name: f[None] for name, f in network.encode(clip).items()}


def test_a_clip_is_segmented_as_its_frames_are(features: tuple[Time2General, FrameFeatures]) -> None:
    network, memory = features
    offsets, valid = TIMES_S - TIMES_S[:, 1:2], torch.ones(1, 3)
    with torch.inference_mode():
        one = {name: f[:, 1] for name, f in memory.items()}
        clip = network.decode_clip(memory, offsets, valid)
        frame = network.decode_layers(one, memory, offsets, valid, network.read(one, memory, offsets, valid))
    assert len(clip) == len(frame) == 1 + network.config.decoder_layers  # masked attention starts from a first guess
    height, width = network.config.input_size
    assert clip[-1].mask_logits.shape == (1, 3, network.config.queries, height // 4, width // 4)
    assert clip[-1].class_logits.shape == (1, network.config.queries, 19 + 1)
    for of_clip, of_frame in zip(clip, frame, strict=True):
        torch.testing.assert_close(of_clip.class_logits, of_frame.class_logits)
        torch.testing.assert_close(of_clip.mask_logits[:, 1], of_frame.mask_logits)
        torch.testing.assert_close(of_clip.scores[:, 1], of_frame.scores)


def test_depth_text_and_the_names_of_classes_matter(features: tuple[Time2General, FrameFeatures]) -> None:
    network, memory = features
    image = torch.rand(3, 3, *network.config.input_size, generator=torch.Generator().manual_seed(1))[:1] * 255
    assert network.text is not None
    assert network.depth is not None

    def differs(name: str) -> float:
        with torch.inference_mode():
            return float((network.encode(image)[name] - memory[name][:, 0]).abs().max())

    assert differs("queries") < 1e-5
    features_of_text, tokens = network.text.features.clone(), network.depth.trunk.embeddings.cls_token
    try:
        network.text.features.copy_(features_of_text.roll(1, dims=1))
        assert differs("queries") > 1e-3
    finally:
        network.text.features.copy_(features_of_text)
    before = tokens.detach().clone()
    try:
        with torch.no_grad():
            tokens.normal_(std=3.0, generator=torch.Generator().manual_seed(2))
        assert differs("queries") > 1e-3
        assert differs("mask_features") > 1e-6
    finally:
        with torch.no_grad():
            tokens.copy_(before)


def test_weights_need_no_checkpoint_beside_them(large_model: Path, tmp_path: Path) -> None:
    """Neither the encoders' nor CLIP's: whoever deploys a model has its weights file and its config."""
    for suffix in (".safetensors", ".yaml"):
        (tmp_path / f"m{suffix}").write_bytes(large_model.with_suffix(suffix).read_bytes())
    text = (tmp_path / "m.yaml").read_text()
    assert "pretrained: dinov2" in text
    network = load_model(tmp_path / "m.safetensors")
    assert network.text is not None
    torch.testing.assert_close(network.text.features.norm(dim=-1), torch.ones(19))


@pytest.mark.parametrize("kind", ["pyramid", "deformable"])
@pytest.mark.parametrize("stability_queries", [True, False])
def test_mobilenet_takes_every_pixel_decoder_and_switch(kind: str, stability_queries: bool) -> None:
    config = ModelConfig.from_dict(
        {
            "input_size": [64, 128],
            "width": 32,
            "stability_queries": stability_queries,
            "pixel_decoder": {"kind": kind, "layers": 1, "heads": 2},
        }
    )
    network = Time2General(config).eval()
    with torch.inference_mode():
        encoded = network.encode(torch.rand(1, 3, 64, 128) * 255)
    assert {name: tuple(f.shape[1:]) for name, f in encoded.items()} == feature_shapes(config)


def test_text_can_be_told_to_mobilenet_s_queries_too() -> None:
    config = ModelConfig.from_dict({"input_size": [64, 128], "text": {"width": 12}})
    network = Time2General(config).eval()
    assert network.text is not None
    image = torch.rand(1, 3, 64, 128) * 255

    def queries() -> Tensor:
        with torch.inference_mode():
            return network.encode(image)["queries"]

    network.text.features.normal_()
    before = queries()
    network.text.features.normal_()
    assert not torch.allclose(before, queries(), atol=1e-4)


def test_an_encoder_whose_architecture_is_not_known_is_refused(large_config: ModelConfig) -> None:
    with pytest.raises(ModelError, match=r"encoder\.architecture: is empty; set 'pretrained' beside it"):
        Time2General(replace(large_config, encoder=EncoderConfig("dinov2", "dinov2", taps=(1, 2, 3, 4))))
