import math

import pytest
import torch

from t2g_ros.training.matcher import SetLossConfig
from t2g_ros.training.set_loss import coarse_class_log_probabilities, set_loss

CONFIG = SetLossConfig(points=64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_defaults_are_mask2former_s() -> None:
    config = SetLossConfig()
    weights = config.class_weight, config.mask_weight, config.dice_weight, config.no_object_weight
    assert weights == (2.0, 5.0, 5.0, 0.1)
    assert (config.points, config.oversample, config.importance) == (12544, 3.0, 0.75)


def test_by_hand() -> None:
    """One class all over two frames; the first of two queries fits it, the second has nothing to answer for."""
    class_logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])  # (1, Q, K + 1)
    mask_logits = torch.stack([torch.full((2, 3, 4), 1.0), torch.full((2, 3, 4), -3.0)], dim=1)[None]
    labels = torch.zeros(1, 2, 6, 8, dtype=torch.long)
    losses = set_loss(class_logits, mask_logits, labels, torch.eye(2), CONFIG, generator())
    fits = -math.log(math.exp(2) / (math.exp(2) + 2))
    nothing = -math.log(math.e / (math.e + 2))
    assert losses["class"].item() == pytest.approx(2 * (fits + 0.1 * nothing) / 1.1, rel=1e-5)
    assert losses["mask"].item() == pytest.approx(5 * math.log(1 + math.exp(-1)), rel=1e-5)
    p = 64 / (1 + math.exp(-1))
    assert losses["dice"].item() == pytest.approx(5 * (1 - (2 * p + 1) / (p + 64 + 1)), rel=1e-5)


def test_queries_in_another_order_lose_as_much() -> None:
    torch.manual_seed(1)
    class_logits, mask_logits = torch.randn(1, 5, 4), torch.randn(1, 2, 5, 4, 4)
    labels = torch.randint(0, 3, (1, 2, 8, 8))
    order = torch.tensor([3, 0, 4, 1, 2])
    losses = set_loss(class_logits, mask_logits, labels, torch.eye(3), CONFIG, generator())
    shuffled = set_loss(class_logits[:, order], mask_logits[:, :, order], labels, torch.eye(3), CONFIG, generator())
    # The points of a mask are drawn in the order of the queries, so they differ; the classes do not.
    assert shuffled["class"].item() == pytest.approx(losses["class"].item(), rel=1e-5)


def test_gradients() -> None:
    torch.manual_seed(0)
    class_logits = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    mask_logits = torch.randn(2, 2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 2, (2, 2, 6, 6))
    labels[0, 1] = 255
    groups = torch.tensor([[1.0, 0, 0], [0, 1, 1]], dtype=torch.float64)

    def loss(class_logits: torch.Tensor, mask_logits: torch.Tensor) -> torch.Tensor:
        return sum(set_loss(class_logits, mask_logits, labels, groups, CONFIG, generator()).values())

    assert torch.autograd.gradcheck(loss, (class_logits, mask_logits), atol=1e-6)


def test_unlabelled_frames_and_void_teach_nothing() -> None:
    torch.manual_seed(0)
    class_logits = torch.randn(1, 3, 3)
    mask_logits = torch.randn(1, 2, 3, 4, 4, requires_grad=True)
    labels = torch.full((1, 2, 8, 8), 255)
    labels[0, 1, :4] = 1
    sum(set_loss(class_logits, mask_logits, labels, torch.eye(2), CONFIG, generator()).values()).backward()
    gradient = mask_logits.grad
    assert gradient[0, 0].abs().max() < 1e-5 * gradient[0, 1].abs().max()
    assert gradient[0, 1, :, 3].abs().max() == 0
    assert gradient[0, 1, :, :2].abs().max() > 0


def test_a_clip_without_labels_costs_nothing_and_does_not_thin_out_the_others() -> None:
    torch.manual_seed(0)
    class_logits, mask_logits = torch.randn(2, 3, 3), torch.randn(2, 1, 3, 4, 4)
    labels = torch.stack([torch.zeros(1, 8, 8), torch.full((1, 8, 8), 255)]).long()
    both = set_loss(class_logits, mask_logits, labels, torch.eye(2), CONFIG, generator())
    alone = set_loss(class_logits[:1], mask_logits[:1], labels[:1], torch.eye(2), CONFIG, generator())
    assert both == alone
    nothing = set_loss(class_logits[1:], mask_logits[1:], labels[1:], torch.eye(2), CONFIG, generator())
    assert [value.item() for value in nothing.values()] == [0, 0, 0]


def test_a_coarse_class_is_any_of_its_fine_ones_and_an_unknown_one_is_no_mistake() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0, 0.5]])  # four fine classes and "no object"
    groups = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0]])  # the fourth is not in the label space
    p = logits.softmax(dim=1)[0]
    log_p, log_nothing = coarse_class_log_probabilities(logits, groups)
    assert torch.allclose(log_p.exp()[0], torch.stack([p[0], p[1] + p[2]]))
    assert torch.allclose(log_nothing.exp(), p[3] + p[4])


def test_most_points_of_the_loss_lie_where_the_mask_is_in_doubt() -> None:
    """Of a mask that is sure and right but for one column, that column is most of the loss."""
    mask_logits = torch.full((1, 1, 1, 8, 8), 12.0)
    mask_logits[..., 3] = 0.0
    labels = torch.zeros(1, 1, 8, 8, dtype=torch.long)
    class_logits = torch.zeros(1, 1, 2)
    config = SetLossConfig(points=256)
    loss = set_loss(class_logits, mask_logits, labels, torch.ones(1, 1), config, generator())["mask"].item() / 5
    evenly = math.log(2) / 8
    # An eighth of 768 candidates is in doubt, less than the 192 that are kept for it.
    assert loss > 2.5 * evenly
