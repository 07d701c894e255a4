from itertools import permutations

import pytest
import torch
from torch.nn import functional as F

from t2g_ros.training.matcher import SetLossConfig, draw_points, match, read_at


def test_points_are_labelled_pixels_drawn_evenly_and_the_same_for_one_seed() -> None:
    labelled = torch.tensor([3, 8, 11])
    points = draw_points(labelled, (4, 3000), torch.Generator().manual_seed(0))
    again = draw_points(labelled, (4, 3000), torch.Generator().manual_seed(0))
    assert points.shape == (4, 3000)
    assert torch.equal(points, again)
    values, counts = points.unique(return_counts=True)
    assert values.tolist() == [3, 8, 11]
    assert (counts / 12000 - 1 / 3).abs().max() < 0.02


def test_maps_are_read_at_the_label_pixels_of_their_own_frame() -> None:
    maps = torch.randn(2, 3, 4, 6)
    # On a grid of the same size every pixel is its own.
    points = torch.tensor([[0, 7, 23, 24, 50, 71]])
    assert torch.allclose(read_at(maps, points, (4, 6)), maps.flatten(1)[:, points[0]], atol=1e-5)


def test_a_finer_label_grid_reads_between_the_pixels() -> None:
    maps = torch.arange(4.0).view(1, 1, 1, 4)
    points = torch.arange(8)[None]
    # Centres of a grid of 8 over one of 4: 0.25 before and after each centre, and the border stays.
    expected = torch.tensor([[0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]])
    assert torch.allclose(read_at(maps, points, (1, 8)), expected, atol=1e-6)
    large = F.interpolate(maps, scale_factor=(1, 2), mode="bilinear", align_corners=False)
    assert torch.allclose(read_at(maps, points, (1, 8)), large.flatten(1), atol=1e-6)


def test_the_assignment_is_the_cheapest_of_all() -> None:
    torch.manual_seed(0)
    config = SetLossConfig()
    class_p = torch.rand(4, 5).softmax(dim=1)
    logits = torch.randn(4, 30)
    classes = torch.tensor([4, 0, 2])
    masks = (torch.rand(3, 30) > 0.5).float()

    def cost(query: int, target: int) -> float:
        p, m = logits[query].sigmoid(), masks[target]
        bce = F.binary_cross_entropy_with_logits(logits[query], m).item()
        dice = (1 - (2 * (p * m).sum() + 1) / (p.sum() + m.sum() + 1)).item()
        return 2 * -class_p[query, classes[target]].item() + 5 * bce + 5 * dice

    def total(queries: tuple[int, ...]) -> float:
        return sum(cost(query, target) for target, query in enumerate(queries))

    queries, targets = match(class_p, logits, classes, masks, config)
    found = dict(zip(targets.tolist(), queries.tolist(), strict=True))
    best = min(permutations(range(4), 3), key=total)
    assert tuple(found[target] for target in range(3)) == best
    assert total(best) == pytest.approx(min(total(q) for q in permutations(range(4), 3)))


def test_more_targets_than_queries_leave_some_without() -> None:
    queries, targets = match(torch.rand(2, 3), torch.randn(2, 8), torch.arange(3), torch.ones(3, 8), SetLossConfig())
    assert len(queries) == len(targets) == 2
