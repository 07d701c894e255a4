"""Patch kernels of another size see the same."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from t2g_ros.model.encoders.patches import resize_patch_kernel


@pytest.fixture
def kernel() -> Tensor:
    return torch.randn(8, 3, 14, 14, generator=torch.Generator().manual_seed(0))


def ramp(patch: int, dx: float, dy: float) -> Tensor:
    """An image of 6 x 6 patches whose brightness grows linearly, by dx and dy per patch."""
    at = (torch.arange(6 * patch, dtype=torch.float64) + 0.5) / patch
    return (1 + dx * at[None, :] + dy * at[:, None]).float().expand(1, 3, -1, -1)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (0.5, -1.5)])
def test_a_kernel_of_16_answers_to_constant_and_linear_images_as_that_of_14(
    kernel: Tensor, dx: float, dy: float
) -> None:
    before = F.conv2d(ramp(14, dx, dy), kernel, stride=14)
    after = F.conv2d(ramp(16, dx, dy), resize_patch_kernel(kernel, 16), stride=16)
    assert before.abs().max() > 10
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-4)


def test_it_answers_to_a_resized_image_as_before_where_a_resized_kernel_would_not(kernel: Tensor) -> None:
    smooth = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    image = F.interpolate(smooth, size=(84, 84), mode="bicubic")
    larger = F.interpolate(image, size=(96, 96), mode="bilinear")
    before = F.conv2d(image, kernel, stride=14)

    def error(resized: Tensor) -> float:
        return float((F.conv2d(larger, resized, stride=16) - before).norm() / before.norm())

    assert error(resize_patch_kernel(kernel, 16)) < 0.005
    assert error(F.interpolate(kernel, size=(16, 16), mode="bicubic")) > 0.2


def test_a_kernel_of_that_size_stays(kernel: Tensor) -> None:
    torch.testing.assert_close(resize_patch_kernel(kernel, 14), kernel)
