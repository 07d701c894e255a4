"""The YAML beside the weights."""

from pathlib import Path

import pytest

from t2g_ros.errors import ModelError
from t2g_ros.model.config import ModelConfig


def test_roundtrip(tmp_path: Path) -> None:
    config = ModelConfig(name="other", labels="camvid11", input_size=(64, 192), memory_strides=(16, 32))
    config.save(tmp_path / "c.yaml")
    assert ModelConfig.load(tmp_path / "c.yaml") == config


def test_roundtrip_of_all_sections(tmp_path: Path, large_config: ModelConfig) -> None:
    large_config.save(tmp_path / "c.yaml")
    assert ModelConfig.load(tmp_path / "c.yaml") == large_config
    assert large_config.depth is not None
    assert large_config.depth.architecture["num_hidden_layers"] == 4


def test_a_config_of_the_first_release_still_loads(tmp_path: Path) -> None:
    """It knows no sections."""
    old = "name: t2g_tiny\nlabels: cityscapes19\ninput_size: [512, 1024]\nwidth: 64\nqueries: 32\nquery_rank: 16\n"
    old += "memory_strides: [16]\ndecoder_layers: 2\nheads: 2\nclip_frames: 5\n"
    (tmp_path / "c.yaml").write_text(old)
    assert ModelConfig.load(tmp_path / "c.yaml") == ModelConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nwidht: 64\n", r"unknown key\(s\) \['widht'\]; known keys are .*'width'"),
        ("width: wide\n", "width is 'wide', expected int"),
        ("width: true\n", "width is True, expected int"),
        ("input_size: 64\n", "input_size is 64, expected a list of 2 int"),
        ("input_size: [64.0, 64.0]\n", "input_size .* expected a list of 2 int"),
        ("input_size: [64]\n", r"input_size is \[64\], expected a list of 2 int"),
        ("input_size: [100, 64]\n", r"input_size is \(100, 64\), expected .*positive multiples of 64"),
        ("width: 65\n", "width is 65, expected a multiple of heads, 2"),
        ("heads: 0\n", "heads is 0"),
        ("clip_frames: 0\n", "clip_frames is 0"),
        ("labels: dogs\n", "labels.*'dogs'.*cityscapes19"),
        ("memory_strides: [7]\n", r"memory_strides.*7"),
        ("queries: 12\n", "queries is 12.*19"),
        ("encoder: dinov2\n", "encoder: found str, expected a mapping"),
        ("encoder: {kinds: 3}\n", r"encoder: unknown key\(s\) \['kinds'\]; known keys are \['architecture', 'frozen'"),
        ("encoder: {kind: resnet}\n", "encoder: kind is 'resnet', expected one of mobilenet_v2, dinov2"),
        ("encoder: {kind: dinov2, taps: [3, 6, 9]}\n", r"encoder: taps is \[3, 6, 9\], expected four rising layers"),
        ("encoder: {kind: dinov2, taps: [0, 1, 2, 3]}\n", r"encoder: taps is \[0, 1, 2, 3\], expected four rising"),
        ("encoder: {kind: dinov2, taps: [1, 2, 2, 3]}\n", r"encoder: taps is \[1, 2, 2, 3\], expected four rising"),
        ("encoder: {kind: dinov2, frozen: 1}\n", "encoder: frozen is 1, expected bool"),
        ("encoder: {pretrained: x}\n", "encoder: pretrained, frozen and architecture are not for mobilenet_v2"),
        ("encoder: {kind: dinov2}\nmemory_strides: [64]\n", r"memory_strides is \(64,\), expected some of \(4, 8, 16"),
        ("depth: {}\n", "depth is .*, expected null for an encoder of kind mobilenet_v2"),
        ("text: {template: a street}\n", r"text: template is 'a street', expected a text with \{class\}"),
        ("pixel_decoder: {kind: fpn}\n", "pixel_decoder: kind is 'fpn', expected one of pyramid, deformable"),
        ("pixel_decoder: {blocks: -1}\n", "pixel_decoder: blocks is -1, expected at least 0"),
        ("pixel_decoder: {points: 0}\n", "pixel_decoder: points is 0, expected at least 1"),
        ("width: 80\nheads: 1\npixel_decoder: {kind: deformable}\n", "width is 80, expected a multiple of 32 and of"),
        ("assignment: greedy\n", "assignment is 'greedy', expected one of fixed, hungarian"),
        ("masked_attention: true\n", "masked_attention is True, expected false, or assignment: hungarian"),
        ("memory: false\n", "time_embedding is True, expected false where memory is"),
        ("memory: false\ntime_embedding: false\n", "pixel_memory is True, expected false where memory is"),
        (
            "pixel_memory: false\npixel_write_back: true\n",
            "pixel_write_back is True, expected false where pixel_memory is",
        ),
        (
            "assignment: hungarian\npixel_write_back: true\n",
            "pixel_write_back is True, expected false with assignment: hungarian",
        ),
        ("stability_queries: false\ntext: {}\n", "text is .*, expected null where stability_queries is false"),
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
