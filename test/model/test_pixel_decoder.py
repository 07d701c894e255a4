"""The light pyramid: its sizes, and what its blocks add."""

import torch
from torch import Tensor

from t2g_ros.model.pixel_decoder import PixelDecoder

CHANNELS = {4: 5, 8: 6, 16: 7, 32: 8}
SIZE = (64, 96)


def stages() -> dict[int, Tensor]:
    torch.manual_seed(0)
    return {stride: torch.randn(2, c, SIZE[0] // stride, SIZE[1] // stride) for stride, c in CHANNELS.items()}


def decoder(blocks: int) -> PixelDecoder:
    """All of the same weights, but for the blocks."""
    torch.manual_seed(1)
    plain = PixelDecoder(CHANNELS, 16)
    found = PixelDecoder(CHANNELS, 16, blocks)
    found.load_state_dict(plain.state_dict(), strict=False)
    return found.eval()


def test_coarse_levels_reach_the_mask_features() -> None:
    network = decoder(0)
    maps = stages()
    before, pyramid = network(maps, SIZE)
    assert {s: level.shape for s, level in pyramid.items()} == {
        s: (2, 16, SIZE[0] // s, SIZE[1] // s) for s in CHANNELS
    }
    assert before is pyramid[4]
    maps[32] = maps[32] + 5.0
    after, _ = network(maps, SIZE)
    assert not torch.allclose(before, after)


def test_blocks_start_by_changing_nothing() -> None:
    """So a network that was trained without them goes on from where it was."""
    with torch.no_grad():
        before, _ = decoder(0)(stages(), SIZE)
        after, _ = decoder(2)(stages(), SIZE)
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_blocks_learn_at_every_stride_above_4() -> None:
    network = decoder(1).train()
    assert list(network.blocks) == ["32", "16", "8"]
    features, _ = network(stages(), SIZE)
    features.square().mean().backward()
    for blocks in network.blocks.values():
        gradient = blocks[0].change[-1].weight.grad
        assert gradient is not None
        assert gradient.abs().max() > 0
