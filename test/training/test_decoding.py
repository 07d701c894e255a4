"""How training decodes clips: as a stream that begins with them would, but for what is left out by chance."""

from pathlib import Path

import pytest
import torch

from t2g_ros.model.checkpoint import load_model
from t2g_ros.training.decoding import decode_causally

TIMES_S = torch.tensor([[0.0, 0.1, 0.25, 0.3], [0.0, 0.5, 1.0, 1.5]])
T = TIMES_S.shape[1]


@pytest.mark.parametrize("model", ["random_model", "write_back_model"])
def test_without_drop_every_frame_is_segmented_as_in_a_stream(model: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(model)
    network = load_model(path)
    clips = torch.rand(2, T, 3, 64, 128, generator=torch.Generator().manual_seed(0)) * 255
    draws = [torch.Generator().manual_seed(seed) for seed in range(2)]
    with torch.inference_mode():
        features = {name: f.unflatten(0, (2, T)) for name, f in network.encode(clips.flatten(0, 1)).items()}
        found = decode_causally(network, features, TIMES_S, 0.0, draws, slice(1, None))[-1].scores
        expected = [network(clips[:, : t + 1], TIMES_S[:, : t + 1]).scores for t in range(1, T)]
    torch.testing.assert_close(found, torch.stack(expected, dim=1), atol=1e-3, rtol=1e-3)


def test_what_is_written_back_is_trained_through(write_back_model: Path) -> None:
    """The loss of a clip's last frame reaches what its first one left, by way of those between."""
    network = load_model(write_back_model).train()
    clip = torch.rand(1, 3, 3, 64, 128, generator=torch.Generator().manual_seed(0)) * 255
    features = {name: f[None].detach().requires_grad_() for name, f in network.encode(clip[0]).items()}
    # The last frame reads the second one only, which has read the first.
    offsets_s = torch.zeros(1, 3, 3)
    valid = torch.tensor([[[1.0, 0, 0], [1, 1, 0], [0, 1, 1]]])
    changes = network.read_in_turn(features, offsets_s, valid)
    assert changes is not None
    changes[:, 2].square().sum().backward()
    gradient = features["pixel_values"].grad
    assert gradient is not None
    assert gradient[:, 0].abs().sum() > 0
