"""Pixels that read their surroundings in the memory: what they find, what they must not depend on."""

import math

import pytest
import torch
from torch import Tensor

from t2g_ros.model.pixel_memory import PixelMemory

WIDTH, KEYS, VALUES = 12, 6, 3
SIZE = (32, 48)  # stride 4: two by three windows of 8 x 8 tokens at stride 8


@pytest.fixture
def memory() -> PixelMemory:
    torch.manual_seed(0)
    memory = PixelMemory(WIDTH, KEYS, VALUES)
    torch.nn.init.normal_(memory.write.weight)
    torch.nn.init.normal_(memory.time.project.weight, std=0.3)
    return memory.eval()


def frames(count: int) -> Tensor:
    """(1, T, h, w, d) of random mask features."""
    return torch.randn(1, count, *SIZE, WIDTH, generator=torch.Generator().manual_seed(1))


def read(memory: PixelMemory, clip: Tensor, offsets_s: Tensor, valid: Tensor, reference: int = -1) -> Tensor:
    with torch.no_grad():
        kept = [memory.remember(clip[:, t]) for t in range(clip.shape[1])]
        keys, values = (torch.stack(field, dim=1) for field in zip(*kept, strict=True))
        return memory.read(clip[:, reference], keys, values, offsets_s, valid)


def brute_force(memory: PixelMemory, clip: Tensor, offsets_s: Tensor) -> Tensor:
    """Token by token, with the softmax written out."""
    with torch.no_grad():
        tokens = [memory._tokens(clip[:, t]) for t in range(clip.shape[1])]
        keys = torch.stack([k[0] for k, _ in tokens])  # (T, dk, h, w)
        values = torch.stack([v[0] for _, v in tokens])
        weight, spread = memory.time(offsets_s)[0].unbind(-1)
        falloff = (memory.log_falloff + spread).exp()
        _, _, h, w = keys.shape
        found = torch.zeros_like(values[0])
        for y in range(h):
            for x in range(w):
                logits, candidates = [], []
                for t in range(len(keys)):
                    for v in range(y // 8 * 8 - 4, y // 8 * 8 + 12):
                        for u in range(x // 8 * 8 - 4, x // 8 * 8 + 12):
                            row, column = min(max(v, 0), h - 1), min(max(u, 0), w - 1)
                            alike = keys[-1, :, y, x] @ keys[t, :, row, column] * memory.log_sharpness.exp()
                            logits.append(alike + weight[t] - falloff[t] * ((v - y) ** 2 + (u - x) ** 2))
                            candidates.append(values[t, :, row, column])
                found[:, y, x] = torch.stack(logits).softmax(0) @ torch.stack(candidates)
        remembered, present = (torch.pixel_shuffle(v[None], 2) for v in (found, values[-1]))
        gate = torch.sigmoid(memory.gate(torch.cat([present, remembered], dim=1)))
        return clip[:, -1] + memory.write((gate * (remembered - present)).permute(0, 2, 3, 1))


def test_reading_equals_its_definition_token_by_token(memory: PixelMemory) -> None:
    clip, offsets_s = frames(2)[:, :, :16], torch.tensor([[-0.2, 0.0]])
    expected = brute_force(memory, clip, offsets_s)
    assert not torch.allclose(expected, clip[:, -1], atol=0.1)  # it does something
    torch.testing.assert_close(read(memory, clip, offsets_s, torch.ones(1, 2)), expected, atol=1e-4, rtol=1e-4)


def test_an_untrained_memory_changes_nothing() -> None:
    clip = frames(3)
    after = read(PixelMemory(WIDTH, KEYS, VALUES), clip, torch.zeros(1, 3), torch.ones(1, 3))
    torch.testing.assert_close(after, clip[:, -1], atol=0, rtol=0)


def test_a_pixel_finds_itself_where_it_has_moved_to(memory: PixelMemory) -> None:
    """With sharp keys a scene that moved by whole tokens, fewer than the halo, reads as it was."""
    memory.log_sharpness.data.fill_(math.log(30.0))
    memory.log_falloff.data.fill_(-20.0)
    scene = frames(1)[:, 0] * 3
    dy, dx = 6, -4  # pixels at stride 4: three and two tokens
    now = torch.roll(scene, (dy, dx), dims=(1, 2)) + 0.05 * torch.randn(scene.shape)
    clip = torch.stack([scene, now], dim=1)
    with torch.no_grad():
        kept = [memory.remember(clip[:, t]) for t in range(2)]
        keys, values = (torch.stack(field, dim=1) for field in zip(*kept, strict=True))
        only_past = torch.tensor([[1.0, 0.0]])
        after = memory.read(now, keys, values, torch.tensor([[-0.1, 0.0]]), only_past)
        stayed = memory.read(now, keys[:, [0, 0]], values[:, [0, 0]] * 0, torch.tensor([[-0.1, 0.0]]), only_past)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    # Here and there another token looks more alike by chance; the typical pixel finds its own value again.
    assert (after - now)[inner].abs().median() < 0.3 * (stayed - now)[inner].abs().median()


def test_what_an_invalid_slot_holds_changes_nothing(memory: PixelMemory) -> None:
    clip, offsets_s, valid = frames(3), torch.tensor([[-0.2, -0.1, 0.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    before = read(memory, clip, offsets_s, valid)
    clip[:, 1] = 37.0
    torch.testing.assert_close(read(memory, clip, offsets_s, valid), before, atol=1e-5, rtol=0)
    clip[:, 0] += torch.randn(clip[:, 0].shape)
    assert not torch.allclose(read(memory, clip, offsets_s, valid), before, atol=0.05)


def test_age_matters_and_the_order_of_slots_does_not(memory: PixelMemory) -> None:
    clip, offsets_s, valid = frames(3), torch.tensor([[-0.2, -0.1, 0.0]]), torch.ones(1, 3)
    before = read(memory, clip, offsets_s, valid)
    order = [2, 0, 1]
    shuffled = read(memory, clip[:, order], offsets_s[:, order], valid, reference=0)
    torch.testing.assert_close(shuffled, before, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(read(memory, clip, 5 * offsets_s, valid), before, atol=0.02)


def test_logits_stay_finite_however_sharp_training_makes_them(memory: PixelMemory) -> None:
    memory.log_sharpness.data.fill_(9.0)
    memory.time.project.bias.data.fill_(50.0)
    clip = frames(2) * 100
    assert read(memory, clip, torch.zeros(1, 2), torch.ones(1, 2)).isfinite().all()
