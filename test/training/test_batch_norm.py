"""BatchNorm over processes; `test_trainer` runs it in two of them."""

import torch
from torch import nn

from t2g_ros.training.batch_norm import SyncedBatchNorm2d, synchronise_batch_norm


def test_in_one_process_it_is_batch_norm() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4, momentum=0.03), nn.ReLU()))
    synced = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4, momentum=0.03), nn.ReLU()))
    synced.load_state_dict(plain.state_dict())
    synchronise_batch_norm(synced)
    assert isinstance(synced[1][0], SyncedBatchNorm2d)
    for step in range(3):
        x = torch.randn(2, 3, 5, 6) * 3 + 1
        inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
        outputs = [network(x) for network, x in zip((plain, synced), inputs, strict=True)]
        assert torch.allclose(*outputs, atol=1e-5), step
        for output in outputs:
            (output**2).sum().backward()
        assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-3)
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, synced.state_dict()[name], atol=1e-5), name
    for network in (plain, synced):
        network.eval()
    assert torch.allclose(plain(x), synced(x), atol=1e-5)


def test_gradients() -> None:
    norm = SyncedBatchNorm2d(2)
    x = torch.randn(2, 2, 2, 3, requires_grad=True)
    # It computes in float32, so the differences have to be coarse.
    assert torch.autograd.gradcheck(norm, x, eps=1e-2, atol=1e-2, rtol=1e-2)
