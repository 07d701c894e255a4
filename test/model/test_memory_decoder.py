"""Attention over a clip's cached tokens, and the embedding of true time."""

import os
from typing import Any

import pytest
import torch

from t2g_ros.model.memory_attention import MemoryAttention, attend_apart, outside
from t2g_ros.model.memory_decoder import ClipTokens, MemoryDecoder
from t2g_ros.model.split_attention import LARGEST_PART, attend_split, hidden_from, seen_joined
from t2g_ros.model.time_embedding import TimeEmbedding

WIDTH, HEADS, QUERIES, FRAMES, TOKENS = 16, 2, 5, 3, 7
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
needs_gpu_or_interpreter = pytest.mark.skipif(
    DEVICE.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs a CUDA device, or Triton with TRITON_INTERPRET=1",
)


def attention_inputs(tokens: int, masked: bool) -> list[Any]:
    """Arguments of `attend_apart`, and at last the `Seen` that stands for what is hidden. Frame 1 of clip 0 is none."""
    torch.manual_seed(0)
    q = torch.randn(2, HEADS, QUERIES, WIDTH // HEADS)
    keys, values = torch.randn(2, 2, FRAMES, HEADS, tokens, WIDTH // HEADS)
    times, valid = torch.randn(2, FRAMES, HEADS, WIDTH // HEADS), torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    if not masked:
        return [q, keys, values, times, valid, None, None]
    masks, mask_tokens = torch.randn(2, QUERIES, WIDTH), torch.randn(2, FRAMES, tokens, WIDTH)
    mask_tokens[0, [0, 2]] = -masks[0, 0]  # query 0 of clip 0 sees itself nowhere
    hidden = outside(masks, mask_tokens, valid)
    return [q, keys, values, times, valid, hidden, seen_joined(masks, mask_tokens, valid)]


def test_attention_equals_one_softmax_over_keys_that_carry_their_time() -> None:
    torch.manual_seed(0)
    attention = MemoryAttention(WIDTH, HEADS)
    queries = torch.randn(1, QUERIES, WIDTH)
    keys, values = torch.randn(2, 1, FRAMES, HEADS, TOKENS, WIDTH // HEADS)
    time, valid = torch.randn(1, FRAMES, WIDTH), torch.tensor([[1.0, 0.0, 1.0]])
    with torch.no_grad():
        out = attention(queries, keys, values, time, valid)
        # The plain form: time added to every key of its frame, invalid frames left out, tokens joined.
        timed = keys + attention.time_key(time).view(1, FRAMES, HEADS, 1, -1)
        joined = [x[:, [0, 2]].permute(0, 2, 1, 3, 4).flatten(2, 3) for x in (timed, values)]
        q = attention.query(queries).view(1, QUERIES, HEADS, -1).transpose(1, 2)
        read = torch.nn.functional.scaled_dot_product_attention(q, *joined)
        expected = attention.out(read.transpose(1, 2).flatten(-2))
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)


def test_the_time_embedding_tells_33_ms_from_a_second() -> None:
    embed = TimeEmbedding(WIDTH)
    offsets_s = torch.tensor([[0.0, -0.033, -0.1, -0.5, -1.0, 1.0]])
    with torch.no_grad():
        embedded = embed(offsets_s)
    assert embedded.shape == (1, 6, WIDTH)
    assert torch.cdist(embedded, embedded)[0].fill_diagonal_(1).min() > 0.05


def test_a_query_does_not_look_at_what_is_hidden_from_it() -> None:
    torch.manual_seed(0)
    attention = MemoryAttention(WIDTH, HEADS, timed=False)
    queries = torch.randn(1, QUERIES, WIDTH)
    keys, values = torch.randn(2, 1, FRAMES, HEADS, TOKENS, WIDTH // HEADS)
    hidden = torch.zeros(1, FRAMES, QUERIES, TOKENS)
    hidden[0, :, 0] = -1e4
    hidden[0, 1, 0, 2] = 0  # query 0 sees one token of one frame
    with torch.no_grad():
        found = attention(queries, keys, values, None, torch.ones(1, FRAMES), hidden)
        free = attention(queries, keys, values, None, torch.ones(1, FRAMES))
        torch.testing.assert_close(found[0, 0], attention.out(values[0, 1, :, 2].flatten()), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[0, 1:], free[0, 1:])


def test_masked_attention_follows_the_masks_of_the_layer_before() -> None:
    torch.manual_seed(0)
    decoder = MemoryDecoder(4, WIDTH, HEADS, layers=2, hungarian=True).eval()
    queries, valid = torch.randn(1, QUERIES, WIDTH), torch.ones(1, FRAMES)
    keys, values = torch.randn(2, 1, FRAMES, HEADS, TOKENS, WIDTH // HEADS)
    tokens, offsets_s = torch.randn(1, FRAMES, TOKENS, WIDTH), torch.zeros(1, FRAMES)
    with torch.no_grad():
        outputs = decoder(ClipTokens(queries, keys, values, offsets_s, valid, tokens))
        time, expected = decoder.time(offsets_s), queries
        for layer, (masks, _) in zip(decoder.layers, outputs, strict=False):
            hidden = outside(masks, tokens, valid)
            assert 0.1 < (hidden < 0).float().mean() < 0.9
            expected = layer(expected, keys, values, time, valid, hidden)
        torch.testing.assert_close(outputs[-1][0], decoder.mask_head(decoder.norm(expected)))
    assert [classes.shape for _, classes in outputs] == [(1, QUERIES, 4 + 1)] * 3


def test_a_query_that_sees_itself_nowhere_looks_everywhere() -> None:
    torch.manual_seed(0)
    masks, tokens = torch.randn(1, QUERIES, WIDTH), torch.randn(1, FRAMES, TOKENS, WIDTH)
    valid = torch.tensor([[1.0, 0.0, 1.0]])
    tokens[0, [0, 2]] = -masks[0, 0]
    tokens[0, 1] = masks[0, 0]  # but in a slot that holds nothing
    hidden = outside(masks, tokens, valid)
    found = hidden_from(seen_joined(masks, tokens, valid), valid)
    torch.testing.assert_close(found[:, [0, 2]], hidden[:, [0, 2]])
    assert hidden.shape == (1, FRAMES, QUERIES, TOKENS)
    assert (hidden[0, :, 0] == 0).all()
    for query in range(1, QUERIES):
        inside = tokens[0, 0, 0] @ masks[0, query] >= 0
        assert (hidden[0, 0, query] == (0 if inside else hidden[0, 2, query].min())).all()


def test_without_a_time_embedding_the_age_of_a_frame_does_not_matter() -> None:
    torch.manual_seed(0)
    decoder = MemoryDecoder(4, WIDTH, HEADS, layers=1, timed=False).eval()
    queries = torch.randn(1, QUERIES, WIDTH)
    keys, values = torch.randn(2, 1, FRAMES, HEADS, TOKENS, WIDTH // HEADS)
    valid = torch.ones(1, FRAMES)
    with torch.no_grad():
        now = decoder(ClipTokens(queries, keys, values, torch.zeros(1, FRAMES), valid))[-1][0]
        later = decoder(ClipTokens(queries, keys, values, torch.full((1, FRAMES), -2.0), valid))[-1][0]
    assert torch.equal(now, later)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("tokens", [TOKENS, 2 * LARGEST_PART - 20])
def test_attending_in_parts_gives_the_same(tokens: int, masked: bool) -> None:
    *inputs, hidden, seen = attention_inputs(tokens, masked)
    expected = attend_apart(*inputs, hidden)
    torch.testing.assert_close(attend_split(*inputs, seen), expected, atol=1e-5, rtol=1e-4)


@needs_gpu_or_interpreter
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("tokens", [TOKENS, 1000])
def test_the_gpu_s_kernels_attend_alike(tokens: int, timed: bool, masked: bool) -> None:
    from t2g_ros.model.kernels.memory import attend_fused

    q, keys, values, times, valid, hidden, seen = attention_inputs(tokens, masked)
    kept = times if timed else None
    expected = attend_apart(q, keys, values, kept, valid, hidden)
    # As the engine has them, the heads of a token lie together.
    keys, values = (x.transpose(2, 3).contiguous().transpose(2, 3) for x in (keys, values))
    inputs = [None if x is None else x.to(DEVICE) for x in (q, keys, values, kept, valid)]
    found = attend_fused(*inputs, None if seen is None else tuple(x.to(DEVICE) for x in seen))
    torch.testing.assert_close(found.cpu(), expected, atol=1e-5, rtol=1e-4)


@needs_gpu_or_interpreter
def test_the_gpu_s_kernels_attend_alike_in_16_bits() -> None:
    from t2g_ros.model.kernels.memory import attend_fused

    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float16  # Triton's interpreter multiplies bf16 wrongly
    q, keys, values, times, valid, _, (logits, best) = attention_inputs(1000, masked=True)
    low = [x.to(DEVICE, dtype) for x in (q, keys, values, times, logits, best)]
    found = attend_fused(*low[:4], valid.to(DEVICE), (low[4], low[5]))
    full = [x.float().cpu() for x in low]
    expected = attend_split(*full[:4], valid, (full[4], full[5]))
    torch.testing.assert_close(found.float().cpu(), expected, atol=1e-2, rtol=1e-2)


def test_a_settled_decoder_says_the_same() -> None:
    torch.manual_seed(0)
    decoder = MemoryDecoder(4, WIDTH, HEADS, layers=2, hungarian=True).eval()
    queries, valid = torch.randn(1, QUERIES, WIDTH), torch.tensor([[1.0, 0.0, 1.0]])
    keys, values = torch.randn(2, 1, FRAMES, HEADS, TOKENS, WIDTH // HEADS)
    tokens, offsets_s = torch.randn(1, FRAMES, TOKENS, WIDTH), torch.tensor([[-0.2, -0.1, 0.0]])
    with torch.no_grad():
        expected = decoder(ClipTokens(queries, keys, values, offsets_s, valid, tokens))[-1]
        decoder.settle((64, 64), torch.float32)
        torch.testing.assert_close(decoder.last(ClipTokens(queries, keys, values, offsets_s, valid, tokens)), expected)
        decoder.settle((64, 64), torch.bfloat16)
        memory = [x.bfloat16() for x in (keys, values)]
        with torch.autocast("cpu", torch.bfloat16):
            low = decoder.last(ClipTokens(queries, *memory, offsets_s, valid, tokens.bfloat16()))
    for found, full in zip(low, expected, strict=True):
        assert found.dtype == torch.bfloat16
        assert torch.nn.functional.cosine_similarity(found.float().flatten(), full.flatten(), dim=0) > 0.99
