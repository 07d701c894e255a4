"""Attention over a clip's cached tokens, and the embedding of true time."""

import torch

from t2g_ros.model.memory_decoder import MemoryAttention
from t2g_ros.model.time_embedding import TimeEmbedding

WIDTH, HEADS, QUERIES, FRAMES, TOKENS = 16, 2, 5, 3, 7


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
