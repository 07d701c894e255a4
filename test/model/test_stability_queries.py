"""Queries that read and write an encoder stage."""

import pytest
import torch
from torch import nn

from t2g_ros.model.stability_queries import StabilityModulation, StabilityQueries

CHANNELS, WIDTH, QUERIES = 24, 16, 6


@pytest.fixture
def modulation() -> StabilityModulation:
    torch.manual_seed(0)
    return StabilityModulation(CHANNELS, WIDTH)


def test_scale_0_is_the_identity(modulation: StabilityModulation) -> None:
    features, queries = torch.randn(2, CHANNELS, 4, 8), torch.randn(QUERIES, WIDTH)
    with torch.no_grad():
        modulation.scale.zero_()
        unchanged, read = modulation(features, queries)
        modulation.scale.fill_(1)
        changed, _ = modulation(features, queries)
    assert torch.equal(unchanged, features)
    assert changed.shape == features.shape
    assert read.shape == (2, QUERIES, WIDTH)
    assert not torch.allclose(changed, features, atol=0.1)


def test_read_queries_differ_by_frame_and_each_frame_is_read_alone(modulation: StabilityModulation) -> None:
    features, queries = torch.randn(2, CHANNELS, 4, 8), torch.randn(QUERIES, WIDTH)
    _, read = modulation(features, queries)
    assert not torch.allclose(read[0], read[1], atol=1e-2)
    torch.testing.assert_close(modulation(features[:1], queries)[1], read[:1])


def test_a_pixel_that_chooses_the_sink_is_written_nothing(modulation: StabilityModulation) -> None:
    features, queries = torch.randn(1, CHANNELS, 4, 8), torch.randn(QUERIES, WIDTH)
    with torch.no_grad():
        modulation.scale.fill_(1)
        nn.init.zeros_(modulation.mix.weight[:, :])
        modulation.mix.weight.copy_(torch.eye(CHANNELS)[..., None, None])
        nn.init.zeros_(modulation.mix.bias)
        # Every key is the same, and the sink, which is not changed by reading, matches it best by far.
        nn.init.zeros_(modulation.key.weight)
        nn.init.ones_(modulation.key.bias)
        nn.init.zeros_(modulation.fuse[-1].weight)
        nn.init.zeros_(modulation.fuse[-1].bias)
        queries[-1] = 100
        out, _ = modulation(features, queries)
        torch.testing.assert_close(out, 2 * features)  # x + (nothing + x)
        queries[-1] = -100
        assert not torch.allclose(modulation(features, queries)[0], 2 * features, atol=0.1)


def test_stages_share_their_queries_up_to_a_low_rank_change() -> None:
    torch.manual_seed(0)
    queries = StabilityQueries(QUERIES, WIDTH, rank=2, stages=3)
    assert torch.equal(queries(0), queries.shared)  # as initialised
    nn.init.normal_(queries.down)
    changes = torch.stack([queries(stage) - queries.shared for stage in range(3)])
    assert torch.linalg.matrix_rank(changes, atol=1e-4).tolist() == [2, 2, 2]
    assert not torch.allclose(changes[0], changes[1], atol=1e-2)
