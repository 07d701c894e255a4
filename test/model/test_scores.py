"""Class scores of queries that claim classes."""

import os

import pytest
import torch
from torch.nn import functional as F

from t2g_ros.model.scores import class_scores, raised_argmax, resolve, semantic_scores


def test_semantic_scores_are_mask2former_s() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(2, 3, 5, 4, 6, generator=generator)  # (B, T, Q, h, w)
    classes = torch.randn(2, 5, 7 + 1, generator=generator)  # (B, Q, K + 1)
    scores = semantic_scores(masks, classes)
    assert scores.shape == (2, 3, 7, 4, 6)
    p, m = classes.softmax(-1), masks.sigmoid()
    expected = sum(p[1, q, 2] * m[1, 0, q, 3, 5] for q in range(5))
    torch.testing.assert_close(scores[1, 0, 2, 3, 5].exp(), expected)


def test_a_query_without_a_class_claims_nothing() -> None:
    masks = torch.full((1, 2, 1, 1), 9.0)
    classes = torch.tensor([[[-20.0, -20.0, 20.0], [3.0, 0.0, -20.0]]])
    scores = semantic_scores(masks, classes)
    labels, confidence = resolve(scores)
    assert (labels == 0).all()
    assert abs(int(confidence) - 255 * torch.tensor([3.0, 0.0]).softmax(0)[0].item()) < 1
    nothing = semantic_scores(masks, torch.tensor([[[-90.0, -90.0, 90.0]] * 2]))
    assert nothing.isfinite().all()
    assert int(resolve(nothing)[1]) == 128  # of two classes neither


def test_class_scores_add_the_log_probability_that_the_class_is_there_and_its_bias() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, logits = torch.randn(2, 3, 4, 2, 2, generator=generator), torch.randn(2, 4, generator=generator)
    bias = torch.tensor([0.0, 0.5, -1.0, 2.0])
    scores = class_scores(masks, logits, bias)
    torch.testing.assert_close(scores[1, 2, 3], masks[1, 2, 3] + logits[1, 3].sigmoid().log() + 2.0)
    torch.testing.assert_close(class_scores(masks[:, 0], logits, bias), scores[:, 0])


def test_labels_are_the_argmax_of_the_scores_raised_to_twice_their_size() -> None:
    scores = torch.randn(2, 7, 12, 20, generator=torch.Generator().manual_seed(0))
    raised = F.interpolate(scores, scale_factor=2.0, mode="bilinear", align_corners=False)
    labels = raised_argmax(scores)
    assert labels.shape == (2, 24, 40)
    assert torch.equal(labels, raised.argmax(dim=1))
    assert not torch.equal(labels, scores.argmax(dim=1).repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.mark.skipif(
    not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs a CUDA device, or Triton with TRITON_INTERPRET=1",
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_gpu_s_kernel_resolves_the_same(channels_last: bool) -> None:
    from t2g_ros.model.kernels.labels import resolved

    scores = torch.randn(2, 5, 6, 23, generator=torch.Generator().manual_seed(0)) * 3
    if channels_last:
        scores = scores.to(memory_format=torch.channels_last)
    labels, confidence = resolved(scores.to("cuda" if torch.cuda.is_available() else "cpu"))
    expected_labels, expected_confidence = resolve(scores)
    assert torch.equal(labels.cpu(), expected_labels)
    assert (confidence.cpu().int() - expected_confidence.int()).abs().max() <= 1  # which is rounded
