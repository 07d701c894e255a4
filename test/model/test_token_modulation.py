"""Queries that read and write a transformer's tokens."""

import pytest
import torch
from torch import Tensor, nn

from t2g_ros.model.token_modulation import Read, TextStep, TokenModulation

WIDTH, QUERIES, TOKENS = 16, 6, 20


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def queries() -> Tensor:
    return torch.randn(QUERIES, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def modulation() -> TokenModulation:
    torch.manual_seed(2)
    modulation = TokenModulation(WIDTH, depth=True)
    nn.init.ones_(modulation.scale)
    return modulation


def test_reading_is_attention_with_its_projections_moved(tokens: Tensor, queries: Tensor) -> None:
    torch.manual_seed(3)
    read = Read(WIDTH)
    with torch.no_grad():
        keys, values = read.key(tokens), read.value(tokens)
        expected = torch.softmax(read.query(queries) @ keys.transpose(1, 2) / WIDTH**0.5, dim=-1) @ values
        torch.testing.assert_close(read(queries, tokens), expected, atol=1e-5, rtol=1e-4)


def test_modulation_is_the_formula(modulation: TokenModulation, tokens: Tensor, queries: Tensor) -> None:
    depth, prompted = tokens.flip(1), queries + 0.5
    m = modulation
    with torch.no_grad():
        out, read_queries = m(0, tokens, queries, prompted, depth)
        read = m.read(prompted, tokens) + m.read_depth(prompted, depth)
        expected_queries = prompted + m.fuse(prompted + read)
        logits = (tokens @ queries.T + depth @ queries.T) / WIDTH**0.5
        assign = torch.softmax(logits, dim=-1)[..., :-1]
        expected = tokens + m.mix(assign @ m.write(expected_queries)[:, :-1] + tokens)
    torch.testing.assert_close(read_queries, expected_queries)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)


def test_a_new_modulation_hardly_changes_the_tokens(tokens: Tensor, queries: Tensor) -> None:
    fresh = TokenModulation(WIDTH, depth=False)
    change = fresh(0, tokens, queries, queries, None)[0] - tokens
    assert fresh.scale.item() == pytest.approx(1e-3)
    assert 0 < change.abs().max() < 1e-2


def test_a_patch_that_chooses_the_sink_is_written_nothing(
    modulation: TokenModulation, tokens: Tensor, queries: Tensor
) -> None:
    with torch.no_grad():
        nn.init.eye_(modulation.mix.weight)
        nn.init.zeros_(modulation.mix.bias)
        alike = torch.ones_like(tokens)
        queries[-1] = 100  # the sink matches every token best by far
        torch.testing.assert_close(modulation(0, alike, queries, queries, alike)[0], 2 * alike)  # x + (nothing + x)
        queries[-1] = -100
        assert not torch.allclose(modulation(0, alike, queries, queries, alike)[0], 2 * alike, atol=0.1)


def test_depth_matters_for_reading_and_for_writing(
    modulation: TokenModulation, tokens: Tensor, queries: Tensor
) -> None:
    out, read = modulation(0, tokens, queries, queries, tokens.flip(1))
    other_out, other_read = modulation(0, tokens, queries, queries, 2 * tokens)
    assert not torch.allclose(read, other_read, atol=1e-3)
    assert not torch.allclose(out, other_out, atol=1e-3)


def test_every_frame_is_read_alone(modulation: TokenModulation, tokens: Tensor, queries: Tensor) -> None:
    together = modulation(0, tokens, queries, queries, tokens)
    alone = modulation(0, tokens[:1], queries, queries, tokens[:1])
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b[:1], atol=1e-5, rtol=1e-4)


def test_the_text_step_tells_the_queries_what_the_classes_are_called(queries: Tensor) -> None:
    torch.manual_seed(4)
    step = TextStep(classes=3, text_width=5, width=WIDTH)
    with torch.no_grad():
        step.features.copy_(torch.eye(3, 5))
        prompted = step(queries)
        step.features.copy_(torch.eye(3, 5).flip(1))
        renamed = step(queries)
        step.features.copy_(torch.eye(3, 5).flip(1).flip(0))
        reordered = step(queries)
    assert prompted.shape == queries.shape
    assert not torch.allclose(prompted, renamed, atol=1e-3)
    torch.testing.assert_close(reordered, renamed)  # a set of classes, whatever their order
