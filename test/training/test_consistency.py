import math

import pytest
import torch

from t2g_ros.training.consistency import DIVERGENCES, masked_temporal_consistency


def log_p(*pixels: list[float]) -> torch.Tensor:
    """One image of one row: (1, C, 1, pixels)."""
    return torch.tensor(pixels, dtype=torch.float64).T[None, :, None].log()


def clip(*frames: torch.Tensor) -> torch.Tensor:
    return torch.stack(frames, dim=1)  # (1, T, C, h, w)


def test_consistency_is_the_symmetric_kl_where_the_label_stays() -> None:
    a, b = log_p([0.5, 0.5], [0.9, 0.1]), log_p([0.9, 0.1], [0.1, 0.9])
    labels = torch.tensor([[[[0, 1]], [[0, 0]]]])  # the second pixel changes its label: its jump is right
    kl = 0.5 * ((0.5 - 0.9) * math.log(0.5 / 0.9) + (0.5 - 0.1) * math.log(0.5 / 0.1))
    assert masked_temporal_consistency(clip(a, b), labels).item() == pytest.approx(kl, rel=1e-5)


def test_consistency_ignores_void_and_is_zero_for_equal_predictions() -> None:
    a, b = log_p([0.5, 0.5]), log_p([0.9, 0.1])
    assert masked_temporal_consistency(clip(a, b), torch.full((1, 2, 1, 1), 255)).item() == 0
    assert masked_temporal_consistency(clip(a, a), torch.zeros(1, 2, 1, 1, dtype=torch.long)).item() == 0


def test_consistency_pulls_neighbouring_predictions_together() -> None:
    scores = torch.tensor([[[[[2.0]], [[0.0]]], [[[0.0]], [[2.0]]]]], requires_grad=True)
    labels = torch.zeros(1, 2, 1, 1, dtype=torch.long)
    masked_temporal_consistency(scores.log_softmax(2), labels).backward()
    assert scores.grad is not None
    assert scores.grad[0, 0, 0] > 0 > scores.grad[0, 1, 0]


P, Q = [0.5, 0.5], [0.9, 0.1]
KL_PQ = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
KL_QP = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
JS = 0.5 * (
    0.5 * math.log(0.5 / 0.7) + 0.5 * math.log(0.5 / 0.3) + 0.9 * math.log(0.9 / 0.7) + 0.1 * math.log(0.1 / 0.3)
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("kl", KL_PQ), ("symmetric_kl", (KL_PQ + KL_QP) / 2), ("js", JS), ("l2", 0.4**2 + 0.4**2)],
)
def test_divergences_by_hand(name: str, expected: float) -> None:
    assert DIVERGENCES[name](log_p(P), log_p(Q)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_gradients(name: str) -> None:
    scores = torch.randn(1, 3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[[[0, 1], [2, 255]], [[0, 1], [3, 255]], [[0, 2], [3, 1]]]])

    def loss(scores: torch.Tensor) -> torch.Tensor:
        return masked_temporal_consistency(scores.log_softmax(2), labels, DIVERGENCES[name], "all")

    assert torch.autograd.gradcheck(loss, scores)


def test_all_pairs_compare_every_frame_with_every_other() -> None:
    first, second, third = log_p(P), log_p(Q), log_p(P)
    labels = torch.zeros(1, 3, 1, 1, dtype=torch.long)
    d = (KL_PQ + KL_QP) / 2
    frames = clip(first, second, third)
    assert masked_temporal_consistency(frames, labels, pairs="adjacent").item() == pytest.approx(d)
    # Of the three pairs the one of the outer frames agrees.
    assert masked_temporal_consistency(frames, labels, pairs="all").item() == pytest.approx(2 * d / 3)


def test_without_a_mask_void_and_changed_pixels_count() -> None:
    labels = torch.tensor([[[[0, 255]], [[1, 255]]]])
    frames = clip(log_p(P, P), log_p(Q, P))
    assert masked_temporal_consistency(frames, labels).item() == 0
    expected = (KL_PQ + KL_QP) / 2 / 2
    assert masked_temporal_consistency(frames, labels, mask="all").item() == pytest.approx(expected)
