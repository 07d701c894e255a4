import math

import numpy as np
import pytest
import torch

from t2g_ros.labels import CAMVID11, CITYSCAPES19, group_matrix
from t2g_ros.training.losses import (
    coarse_log_probabilities,
    dice_loss,
    presence_loss,
    segmentation_loss,
)


def log_p(*pixels: list[float]) -> torch.Tensor:
    """One image of one row: (1, C, 1, pixels)."""
    return torch.tensor(pixels).T[None, :, None].log()


def test_a_coarse_class_is_the_sum_of_its_fine_classes() -> None:
    groups = torch.from_numpy(group_matrix(CITYSCAPES19, CAMVID11))
    scores = torch.randn(2, 19, 3, 4)
    p = scores.softmax(1)
    coarse = coarse_log_probabilities(scores, groups).exp()
    sign = p[:, CITYSCAPES19.id_of("traffic light")] + p[:, CITYSCAPES19.id_of("traffic sign")]
    assert torch.allclose(coarse[:, CAMVID11.id_of("sign")], sign, atol=1e-6)
    assert torch.allclose(coarse[:, CAMVID11.id_of("road")], p[:, CITYSCAPES19.id_of("road")], atol=1e-6)


def test_segmentation_loss_is_the_weighted_mean_over_labelled_pixels() -> None:
    p = log_p([0.5, 0.5], [0.9, 0.1], [0.2, 0.8])
    labels = torch.tensor([[[0, 1, 255]]])
    expected = (2.0 * -math.log(0.5) + 3.0 * -math.log(0.1)) / 2
    assert segmentation_loss(p, labels, torch.tensor([2.0, 3.0])).item() == pytest.approx(expected, rel=1e-5)


def test_segmentation_loss_of_an_unlabelled_image_is_zero() -> None:
    assert segmentation_loss(log_p([0.5, 0.5]), torch.tensor([[[255]]]), torch.ones(2)).item() == 0


def test_dice_loss_by_hand() -> None:
    p = log_p([0.5, 0.5], [0.25, 0.75], [0.1, 0.9])
    labels = torch.tensor([[[0, 1, 255]]])
    first = 1 - (2 * 0.5 + 1) / (0.75 + 1 + 1)
    second = 1 - (2 * 0.75 + 1) / (1.25 + 1 + 1)
    assert dice_loss(p, labels).item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_dice_loss_counts_only_classes_that_are_there() -> None:
    p = log_p([0.5, 0.5])
    assert dice_loss(p, torch.tensor([[[0]]])).item() == pytest.approx(1 - (2 * 0.5 + 1) / (0.5 + 1 + 1), rel=1e-5)


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def test_a_coarse_class_is_there_if_one_of_its_fine_ones_is() -> None:
    groups = torch.tensor([[1.0, 0, 0], [0, 1, 1]])  # the second coarse class is two fine ones
    logits = torch.tensor([[0.7, 0.2, -3.0]])
    first, second = torch.zeros(1, 1, 1, 1, dtype=torch.long), torch.ones(1, 1, 1, 1, dtype=torch.long)
    neither = softplus(0.2) + softplus(-3.0)
    assert presence_loss(logits, first, groups).item() == pytest.approx((softplus(-0.7) + neither) / 2, rel=1e-5)
    either = -math.log(1 - math.exp(-neither))
    assert presence_loss(logits, second, groups).item() == pytest.approx((softplus(0.7) + either) / 2, rel=1e-5)


def test_presence_can_be_learnt_however_sure_the_network_is() -> None:
    logits = torch.full((2, 2), -40.0).requires_grad_()
    labels = torch.tensor([0, 1]).view(2, 1, 1, 1)
    loss = presence_loss(logits, labels, torch.eye(2))
    loss.backward()
    assert loss.item() == pytest.approx(20.0, rel=1e-5)
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0], [0, -0.25]]))


GROUPS = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.float64)  # the last fine class is unknown to it
LABELS = torch.tensor([[[0, 1], [255, 1]], [[1, 255], [0, 0]]])


def test_gradients_of_segmentation_and_dice_in_a_partial_label_space() -> None:
    scores = torch.randn(2, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([2.0, 3.0], dtype=torch.float64)

    def segmentation(scores: torch.Tensor) -> torch.Tensor:
        return segmentation_loss(coarse_log_probabilities(scores, GROUPS), LABELS, weights)

    def dice(scores: torch.Tensor) -> torch.Tensor:
        return dice_loss(coarse_log_probabilities(scores, GROUPS), LABELS)

    assert torch.autograd.gradcheck(segmentation, scores)
    assert torch.autograd.gradcheck(dice, scores)


def test_a_partial_label_space_leaves_the_choice_among_its_fine_classes_free() -> None:
    """A coarse class pulls up the sum of its fine ones, in proportion to what they have."""
    scores = torch.tensor([1.0, 0.5, -0.5, 0.0]).view(1, 4, 1, 1).requires_grad_()
    label = torch.tensor([[[1]]])
    segmentation_loss(coarse_log_probabilities(scores, GROUPS.float()), label, torch.ones(2)).backward()
    p = scores.detach().softmax(1).flatten()
    inside = p[1] + p[2]
    expected = torch.stack([p[0], p[1] - p[1] / inside, p[2] - p[2] / inside, p[3]])
    assert torch.allclose(scores.grad.flatten(), expected, atol=1e-6)


def test_gradients_of_presence() -> None:
    logits = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: presence_loss(x, LABELS[:, None], GROUPS), logits)


def test_nothing_is_absent_from_a_clip_without_labels() -> None:
    logits = torch.tensor([[5.0, 0, 0], [1.0, 0, 0]])
    labels = torch.tensor([255, 0]).view(2, 1, 1, 1)
    groups = torch.tensor([[1.0, 0, 0], [0, 1, 1]])
    assert presence_loss(logits[:1], labels[:1], groups).item() == 0
    expected = (softplus(-1.0) + 2 * softplus(0.0)) / 2
    assert presence_loss(logits, labels, groups).item() == pytest.approx(expected, rel=1e-5)


def test_losses_of_perfect_predictions_are_near_zero() -> None:
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (2, 4, 5)))
    perfect = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float().clamp(1e-6).log()
    assert segmentation_loss(perfect, labels, torch.ones(3)).item() < 1e-5
    assert dice_loss(perfect, labels).item() < 1e-3
