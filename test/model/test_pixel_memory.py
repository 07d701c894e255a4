"""Pixels that read their surroundings in the memory: what they find, what they must not depend on."""

import math

import pytest
import torch
from torch import Tensor

from t2g_ros.model.pixel_memory import LARGEST_LOG_SHARPNESS, PixelMemory

WIDTH, KEYS, VALUES = 12, 6, 3
SIZE = (32, 48)  # stride 4: four by three windows of 4 x 8 tokens at stride 8
ROWS, COLUMNS = 4, 3


@pytest.fixture
def memory() -> PixelMemory:
    torch.manual_seed(0)
    memory = PixelMemory(WIDTH, KEYS, VALUES)
    torch.nn.init.normal_(memory.write.weight)
    torch.nn.init.normal_(memory.sharpness.weight, std=0.1)
    torch.nn.init.normal_(memory.time.project.weight, std=0.3)
    return memory.eval()


def frames(count: int) -> Tensor:
    """(1, T, d, h, w) of random mask features."""
    return torch.randn(1, count, WIDTH, *SIZE, generator=torch.Generator().manual_seed(1))


def read(memory: PixelMemory, clip: Tensor, offsets_s: Tensor, valid: Tensor, reference: int = -1) -> Tensor:
    with torch.no_grad():
        kept = [memory.remember(clip[:, t]) for t in range(clip.shape[1])]
        return reread(memory, kept[reference], kept, offsets_s, valid)


def reread(
    memory: PixelMemory, own: dict[str, Tensor], kept: list[dict[str, Tensor]], offsets_s: Tensor, valid: Tensor
) -> Tensor:
    keys, values = (torch.stack([frame[name] for frame in kept], dim=1) for name in ("pixel_keys", "pixel_values"))
    change = memory.read(own["pixel_queries"], own["pixel_present"], keys, values, offsets_s, valid)
    return placed(memory, change)


def placed(memory: PixelMemory, tokens: Tensor) -> Tensor:
    """(1, dv, h, w) of (1, W, m, 4 dv)."""
    return memory.placed(tokens, tokens.shape[1] // COLUMNS).permute(0, 3, 1, 2)


def brute_force(memory: PixelMemory, clip: Tensor, offsets_s: Tensor) -> Tensor:
    """Token by token, with the softmax written out."""
    with torch.no_grad():
        keys = torch.nn.functional.normalize(memory.key(clip[0]), dim=1)  # (T, dk, h, w)
        values = torch.pixel_unshuffle(memory.value(clip[0]), 2)
        sharpness = memory.sharpness(clip[0, -1:])[0, 0].clamp(max=LARGEST_LOG_SHARPNESS).exp()
        weight, spread = memory.time(offsets_s)[0].unbind(-1)
        falloff = (memory.log_falloff + spread).exp()
        _, _, h, w = keys.shape
        found = torch.zeros_like(values[0])
        for y in range(h):
            for x in range(w):
                logits, candidates = [], []
                for t in range(len(keys)):
                    for v in range(y // 4 * 4 - 1, y // 4 * 4 + 5):
                        for u in range(x // 8 * 8 - 2, x // 8 * 8 + 10):
                            row, column = min(max(v, 0), h - 1), min(max(u, 0), w - 1)
                            alike = keys[-1, :, y, x] @ keys[t, :, row, column] * sharpness[y, x]
                            logits.append(alike + weight[t] - falloff[t] * ((v - y) ** 2 + (u - x) ** 2))
                            candidates.append(values[t, :, row, column])
                found[:, y, x] = torch.stack(logits).softmax(0) @ torch.stack(candidates)
        remembered, present = (torch.pixel_shuffle(v[None], 2) for v in (found, values[-1]))
        gate = torch.sigmoid(memory.gate(torch.cat([present, remembered], dim=1)))
        return gate * (remembered - present)


def test_reading_equals_its_definition_token_by_token(memory: PixelMemory) -> None:
    clip, offsets_s = frames(2)[..., :16, :], torch.tensor([[-0.2, 0.0]])
    expected = brute_force(memory, clip, offsets_s)
    assert expected.abs().max() > 0.1  # it does something
    torch.testing.assert_close(read(memory, clip, offsets_s, torch.ones(1, 2)), expected, atol=1e-4, rtol=1e-4)


def test_an_untrained_memory_changes_no_mask() -> None:
    assert not PixelMemory(WIDTH, KEYS, VALUES).project(torch.randn(1, 4, WIDTH)).any()


def test_masks_meet_the_change_as_if_it_were_written_into_the_features(memory: PixelMemory) -> None:
    masks, change = torch.randn(1, 4, WIDTH), torch.randn(1, VALUES, *SIZE)
    with torch.no_grad():
        written = memory.write(change.permute(0, 2, 3, 1))
        expected = torch.einsum("bqd,bhwd->bqhw", masks, written)
        found = torch.einsum("bqv,bvhw->bqhw", memory.project(masks), change)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_pixel_finds_itself_where_it_has_moved_to(memory: PixelMemory) -> None:
    """With sharp keys a scene that moved by whole tokens, no more than the halo, reads as it was."""
    memory.sharpness.bias.data.fill_(math.log(30.0))
    memory.log_falloff.data.fill_(-20.0)
    scene = frames(1)[:, 0] * 3
    dy, dx = 2, -4  # pixels at stride 4: one and two tokens, as far as the halo
    now = torch.roll(scene, (dy, dx), dims=(2, 3)) + 0.05 * torch.randn(scene.shape)
    with torch.no_grad():
        before, own = memory.remember(scene), memory.remember(now)
        empty = before | {"pixel_values": torch.zeros_like(before["pixel_values"])}
        when = torch.tensor([[-0.1, 0.0]]), torch.tensor([[1.0, 0.0]])  # only the past
        after = reread(memory, own, [before, own], *when)
        lost = reread(memory, own, [empty, own], *when)
    inner = (..., slice(8, -8), slice(8, -8))
    # Here and there another token looks more alike by chance; the typical pixel finds its own value again.
    assert after[inner].abs().median() < 0.3 * lost[inner].abs().median()


def test_what_is_written_back_averages_beyond_the_clip(memory: PixelMemory) -> None:
    """A scene at rest under noise: its pixels vary less from frame to frame where they read what others became."""
    torch.nn.init.zeros_(memory.gate.weight)
    memory.gate.bias.data.fill_(3.0)
    scene, when = frames(1)[:, 0], (torch.tensor([[-0.1, 0.0]]), torch.ones(1, 2))

    def variation(*, write_back: bool) -> float:
        noise, became = torch.Generator().manual_seed(2), []
        before = memory.remember(scene)
        for _ in range(40):
            own = memory.remember(scene + 0.3 * torch.randn(scene.shape, generator=noise))
            present = own["pixel_present"]
            keys, values = (torch.stack([f[name] for f in (before, own)], 1) for name in ("pixel_keys", "pixel_values"))
            change = memory.read(own["pixel_queries"], present, keys, values, *when)
            became.append(present + change)
            before = own
            if write_back:
                before = own | {"pixel_values": memory.written_back(present, change, ROWS)}
        return float(torch.stack(became[8:]).std(dim=0).mean())

    with torch.no_grad():
        assert variation(write_back=True) < 0.8 * variation(write_back=False)


def test_what_is_no_number_is_not_written_back(memory: PixelMemory) -> None:
    with torch.no_grad():
        own = memory.remember(frames(1)[:, 0])
        change = torch.full_like(own["pixel_present"], torch.nan)
        written = memory.written_back(own["pixel_present"], change, ROWS)
    torch.testing.assert_close(written, own["pixel_values"])


def test_what_an_invalid_slot_holds_changes_nothing(memory: PixelMemory) -> None:
    clip, offsets_s, valid = frames(3), torch.tensor([[-0.2, -0.1, 0.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    before = read(memory, clip, offsets_s, valid)
    clip[:, 1] = 37.0
    torch.testing.assert_close(read(memory, clip, offsets_s, valid), before, atol=1e-5, rtol=0)
    clip[:, 0] += torch.randn(clip[:, 0].shape)
    assert not torch.allclose(read(memory, clip, offsets_s, valid), before, atol=0.02)


def test_age_matters_and_the_order_of_slots_does_not(memory: PixelMemory) -> None:
    clip, offsets_s, valid = frames(3), torch.tensor([[-0.2, -0.1, 0.0]]), torch.ones(1, 3)
    before = read(memory, clip, offsets_s, valid)
    order = [2, 0, 1]
    shuffled = read(memory, clip[:, order], offsets_s[:, order], valid, reference=0)
    torch.testing.assert_close(shuffled, before, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(read(memory, clip, 5 * offsets_s, valid), before, atol=0.01)


def test_logits_stay_finite_however_sharp_training_makes_them(memory: PixelMemory) -> None:
    memory.sharpness.bias.data.fill_(9.0)
    memory.time.project.bias.data.fill_(50.0)
    clip = frames(2) * 100
    assert read(memory, clip, torch.zeros(1, 2), torch.ones(1, 2)).isfinite().all()
