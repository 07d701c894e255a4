from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import MobileNetV2Config, MobileNetV2Model

from t2g_ros.errors import ModelError
from t2g_ros.model.encoders.mobilenet_v2 import MobileNetV2Encoder, imagenet_layers


@pytest.fixture
def reference() -> MobileNetV2Model:
    """Transformers' own MobileNetV2 with random weights and statistics."""
    torch.manual_seed(0)
    net = MobileNetV2Model(MobileNetV2Config(), add_pooling_layer=False).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def export(net: MobileNetV2Model, path: Path) -> Path:
    """Write the network as the ImageNet file is: BatchNorm folded, arrays in layer order, channels last."""
    arrays = {}
    layers = [m for m in net.modules() if type(m).__name__ == "MobileNetV2ConvLayer"]
    for index, layer in enumerate(layers):
        conv, norm = layer.convolution, layer.normalization
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = (conv.weight * scale[:, None, None, None]).detach().numpy()
        depthwise = conv.groups > 1
        arrays[f"{index:02d}_w"] = weight.transpose(1, 2, 3, 0) if depthwise else weight.transpose(0, 2, 3, 1)
        arrays[f"{index:02d}_b"] = (norm.bias - norm.running_mean * scale).detach().numpy()
    np.savez(path, **arrays)
    return path


def test_stages_have_the_strides_and_channels_that_are_promised() -> None:
    encoder = MobileNetV2Encoder()
    stages, x = encoder.forward_stem(torch.zeros(2, 3, 128, 192))
    shapes = {stride: stage.shape for stride, stage in stages.items()}
    for stride, stage in encoder.trunk.items():
        x = stage(x)
        shapes[int(stride)] = x.shape
    assert shapes == {s: (2, encoder.channels[s], 128 // s, 192 // s) for s in (4, 8, 16, 32, 64)}


def test_the_trunk_is_mobilenet_on_the_half_size_image(reference: MobileNetV2Model, tmp_path: Path) -> None:
    encoder = MobileNetV2Encoder().eval()
    encoder.load_imagenet(export(reference, tmp_path / "net.npz"))
    image = torch.rand(1, 3, 128, 192) * 2 - 1
    with torch.no_grad():
        x = encoder.forward_stem(image)[1]
        for stage in encoder.trunk.values():
            x = stage(x)
        expected = reference.conv_stem(F.avg_pool2d(image, 2))
        for layer in reference.layer[:16]:
            expected = layer(expected)
    assert torch.allclose(x, expected, atol=1e-4 * expected.abs().max().item())


def test_fine_detail_reaches_the_trunk() -> None:
    """Once trained: a pattern that averaging down removes changes what the trunk sees."""
    encoder = MobileNetV2Encoder().eval()
    nn.init.normal_(encoder.inject.weight)
    checkered = torch.ones(1, 3, 128, 192)
    checkered[..., ::2] = checkered[..., ::2, :] = -1.0
    checkered[..., ::2, ::2] = 1.0
    with torch.no_grad():
        before, after = (encoder.forward_stem(image)[1] for image in (torch.zeros_like(checkered), checkered))
    inner = (..., slice(2, -2), slice(2, -2))
    assert (before - after)[inner].abs().max() > 1e-3


def test_folding_keeps_what_the_layers_compute(reference: MobileNetV2Model) -> None:
    stem, blocks = imagenet_layers()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in (*stem.modules(), *blocks.modules()))
    assert len(blocks) == len(reference.layer) == 16


def test_imagenet_weights_that_are_missing_or_do_not_fit_are_named(reference: MobileNetV2Model, tmp_path: Path) -> None:
    encoder = MobileNetV2Encoder()
    with pytest.raises(ModelError, match=r"none\.npz: cannot be read"):
        encoder.load_imagenet(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ModelError, match=r"text\.npz: cannot be read"):
        encoder.load_imagenet(tmp_path / "text.npz")
    np.savez(tmp_path / "few.npz", a=np.zeros(3))
    with pytest.raises(ModelError, match=r"few\.npz: 1 arrays, expected at least \d+"):
        encoder.load_imagenet(tmp_path / "few.npz")
    with np.load(export(reference, tmp_path / "net.npz")) as file:
        arrays = dict(file)
    arrays["03_w"] = arrays["03_w"][..., :-1]
    np.savez(tmp_path / "shape.npz", **arrays)
    with pytest.raises(ModelError, match=r"shape\.npz: 03_w has shape .* layer 3 expects"):
        encoder.load_imagenet(tmp_path / "shape.npz")
