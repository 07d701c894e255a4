"""Procedural drives: what training and the demo rely on."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from t2g_ros.labels import CITYSCAPES19
from t2g_ros.training.synthetic import STYLES, Drive, render_clip
from t2g_ros.training.synthetic.clip import main as write_clip
from t2g_ros.training.synthetic.raster import paint, painting_order
from t2g_ros.training.synthetic.surfaces import SURFACE, joined, placed
from t2g_ros.training.synthetic.textures import GLASS
from t2g_ros.training.synthetic.trams import tram
from t2g_ros.training.synthetic.vehicles import bus, truck

SMALL = (96, 160)
TRAIN = CITYSCAPES19.id_of("train")
CLIP = Path(__file__).resolve().parents[1] / "data" / "drive"
CLIP_SEED, CLIP_STYLE, CLIP_START_S = 52, "day", 0.0


def changed(a: np.ndarray, b: np.ndarray) -> float:
    return float((a != b).mean())


@pytest.mark.parametrize("style", STYLES)
def test_another_process_renders_the_same_bytes(style: str) -> None:
    code = (
        "import hashlib; from t2g_ros.training.synthetic import Drive\n"
        f"rgb, labels = Drive(3, '{style}', {SMALL}).render(2.5)\n"
        "print(hashlib.sha256(rgb.tobytes() + labels.tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(runs[0].strip()) == 64


def test_labels_do_not_depend_on_the_style_but_images_do() -> None:
    for seed, t_s in ((0, 0.0), (4, 3.3), (9, 17.1)):
        frames = [Drive(seed, style, SMALL).render(t_s) for style in STYLES]
        for rgb, labels in frames[1:]:
            np.testing.assert_array_equal(labels, frames[0][1])
            assert np.abs(rgb.astype(int) - frames[0][0]).mean() > 8


def test_seeds_give_different_streets() -> None:
    labels = [Drive(seed, "day", SMALL).render(1.0)[1] for seed in range(4)]
    assert all(changed(labels[i], labels[j]) > 0.15 for i in range(4) for j in range(i))


@pytest.mark.parametrize("seed", [0, 5, 8])
def test_the_world_moves_continuously(seed: int) -> None:
    drive = Drive(seed, "day", SMALL)
    starts = np.arange(0.0, 6.0, 0.6)
    soon = [changed(drive.render(t)[1], drive.render(t + 1 / 30)[1]) for t in starts]
    later = [changed(drive.render(t)[1], drive.render(t + 1.0)[1]) for t in starts]
    at_once = [changed(drive.render(t)[1], drive.render(t + 1e-4)[1]) for t in starts]
    assert np.mean(at_once) < 0.001
    assert max(soon) < 0.12
    assert np.mean(soon) < 0.06
    assert np.mean(later) > 0.10
    assert np.mean(later) > 3 * np.mean(soon)


def test_textures_stay_on_their_surfaces() -> None:
    # A texture that were drawn anew for every frame would change the image however little time passes.
    for style in ("day", "night", "fog"):
        drive = Drive(2, style, SMALL)
        (a, _), (b, _), (c, _) = (drive.render(t) for t in (4.0, 4.0 + 1e-5, 5.0))
        blur = [cv2.GaussianBlur(x, (0, 0), 2).astype(int) for x in (a, b, c)]
        assert np.abs(blur[0] - blur[1]).mean() < 1.0
        assert np.abs(blur[0] - blur[2]).mean() > 3.0


def test_a_frame_is_the_same_at_any_frame_rate_and_in_any_order() -> None:
    fast = render_clip(6, "rain", np.arange(0, 31) / 30, SMALL)
    slow = render_clip(6, "rain", np.array([1.0, 0.5, 0.0]), SMALL)
    for k, i in ((0, 30), (1, 15), (2, 0)):
        np.testing.assert_array_equal(fast[0][i], slow[0][k])
        np.testing.assert_array_equal(fast[1][i], slow[1][k])


def test_all_classes_occur() -> None:
    seen: set[int] = set()
    for seed in range(14):
        drive = Drive(seed, "day", (128, 240))
        for t_s in (0.0, 4.0, 9.0):
            seen |= set(np.unique(drive.render(t_s)[1]).tolist())
    assert {CITYSCAPES19.names[i] for i in seen} == set(CITYSCAPES19.names)


def test_trams_run_where_the_street_has_them() -> None:
    def shown(drive: Drive) -> float:
        return max(float((drive.render(t_s)[1] == TRAIN).mean()) for t_s in range(0, 20, 2))

    drives = [Drive(seed, "day", (64, 120)) for seed in range(40)]
    with_trams, without = ([drive for drive in drives if drive.street.trams is on] for on in (True, False))
    assert 4 < len(with_trams) < 20
    assert all(shown(drive) > 0.02 for drive in with_trams[:5])
    assert not any(shown(drive) for drive in without[:5])


@pytest.mark.parametrize("heading", [0.0, np.pi])
def test_a_tram_hides_what_is_behind_it_and_no_part_of_itself_is_missing(heading: float) -> None:
    # Beside the camera and all along to the distance: from its near end to its far one no gap in the middle of it.
    drive = next(d for d in (Drive(seed, "day", (128, 240)) for seed in range(40)) if not d.street.trams)
    view = drive.ego.view(0.0, drive.size)
    for seed in range(6):
        model = placed(tram(np.random.default_rng(seed)), view.position[0] + 3.2, view.position[2] + 24, heading)
        sky = np.zeros(1, SURFACE)
        rest = model[painting_order(model, view, drive.street.strips_x)]
        buffer = paint(joined([sky, rest]), view)
        seen = buffer > 0
        columns = np.flatnonzero(seen.any(axis=0))
        body = seen[:, columns[0] + 4 : columns[-1] - 4]
        first, last = body.argmax(axis=0), body.shape[0] - 1 - body[::-1].argmax(axis=0)
        middle = (first + 2 * last) // 3  # below the roof, above the wheels
        assert body[middle, np.arange(body.shape[1])].mean() > 0.99


def test_every_frame_shows_a_street() -> None:
    road, sky = CITYSCAPES19.id_of("road"), CITYSCAPES19.id_of("sky")
    for seed in range(20, 30):
        labels = Drive(seed, "day", SMALL).render(3.0)[1]
        assert (labels[-24:] == road).mean() > 0.25
        assert not (labels[-24:] == sky).any()
        assert not (labels[:24] == road).any()


def test_edges_of_labels_lie_on_edges_of_the_image() -> None:
    # Where labels change, the image has to change more than elsewhere, and most where the two are not shifted.
    drive = Drive(1, "day", (192, 360))
    scores = np.zeros(5)
    for t_s in (1.0, 4.0, 7.0):
        rgb, labels = drive.render(t_s)
        step = np.abs(np.diff(rgb.astype(np.float32), axis=1)).sum(axis=2)
        border = labels[:, 1:] != labels[:, :-1]
        scores += [step[np.roll(border, shift, axis=1)].mean() for shift in (-4, -2, 0, 2, 4)]
    assert scores.argmax() == 2
    assert scores[2] > 1.5 * max(scores[0], scores[4])


@pytest.mark.parametrize("size", [(64, 128), (97, 131), (256, 480)])
def test_sizes_and_types(size: tuple[int, int]) -> None:
    rgb, labels = Drive(0, "dusk", size).render(0.7)
    assert rgb.shape == (*size, 3)
    assert labels.shape == size
    assert rgb.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels).tolist()) <= set(range(19))
    assert rgb.std() > 15


def test_the_same_street_at_another_size() -> None:
    small, large = (Drive(3, "day", size).render(2.0)[1] for size in ((96, 160), (192, 320)))
    assert changed(small, large[::2, ::2]) < 0.06


def test_styles_look_like_what_they_are_called() -> None:
    def mean(style: str) -> np.ndarray:
        return np.mean([Drive(seed, style, SMALL).render(2.0)[0].mean(axis=(0, 1)) for seed in range(4)], axis=0)

    def contrast(style: str) -> float:
        # Far things, in a band about the horizon, fade in fog.
        return float(np.mean([Drive(seed, style, SMALL).render(2.0)[0][35:60].std() for seed in range(4)]))

    day, dusk, night = mean("day"), mean("dusk"), mean("night")
    assert night.mean() < 0.6 * day.mean()
    assert dusk[0] / dusk[2] > 1.15 * day[0] / day[2]
    assert contrast("fog") < 0.7 * contrast("day")


def test_rain_falls() -> None:
    # Columns of falling drops: the frames of a moment apart differ more in rain than in fog.
    def motion(style: str) -> float:
        (a, _), (b, _) = (Drive(4, style, (128, 240)).render(t) for t in (1.0, 1.02))
        return float(np.abs(a[:40].astype(int) - b[:40]).max(axis=2).mean())

    assert motion("rain") > 1.15 * motion("fog")


def test_unknown_style_names_the_styles() -> None:
    with pytest.raises(ValueError, match=r"style 'snow': expected one of day, dusk, night, rain, fog"):
        Drive(0, "snow")
    with pytest.raises(ValueError, match="style 'snow'"):
        render_clip(0, "snow", np.array([0.0]))


def test_clip_command_writes_stamped_images_and_labels(tmp_path: Path) -> None:
    command = ["--seed", "5", "--style", "fog", "--seconds", "0.2", "--fps", "15", "--size", "160x96"]
    assert write_clip([str(tmp_path / "clip"), *command]) == 0
    stems = ["000000000000", "000066666667", "000133333333"]
    assert [p.name for p in sorted((tmp_path / "clip/images").iterdir())] == [f"{s}.jpg" for s in stems]
    assert yaml.safe_load((tmp_path / "clip/clip.yaml").read_text()) == {"fps": 15, "labels": "cityscapes19"}
    drive = Drive(5, "fog", SMALL)
    for k, stem in enumerate(stems):
        rgb, labels = drive.render(k / 15)
        written = cv2.imread(str(tmp_path / f"clip/labels/{stem}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, labels)
        image = cv2.imread(str(tmp_path / f"clip/images/{stem}.jpg"))[..., ::-1]
        assert np.abs(image.astype(int) - rgb).mean() < 8


def test_clip_command_refuses_a_bad_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        write_clip([str(tmp_path), "--size", "640"])
    assert "expected WIDTHxHEIGHT" in capsys.readouterr().err


def test_committed_clip_is_what_the_renderer_makes() -> None:
    images, labels = sorted((CLIP / "images").iterdir()), sorted((CLIP / "labels").iterdir())
    described = yaml.safe_load((CLIP / "clip.yaml").read_text())
    assert described == {"fps": 15, "labels": "cityscapes19"}
    assert len(images) == len(labels) == 90
    assert [p.stem for p in images] == [p.stem for p in labels]
    drive = Drive(CLIP_SEED, CLIP_STYLE, (320, 640))
    for k in (0, 31, 60, 89):
        assert labels[k].stem == f"{round(k * 1e9 / 15):012d}"
        rgb, made = drive.render(CLIP_START_S + k / 15)
        # Another processor may round a corner to the next pixel.
        assert changed(cv2.imread(str(labels[k]), cv2.IMREAD_UNCHANGED), made) < 1e-3
        assert np.abs(cv2.imread(str(images[k]))[..., ::-1].astype(int) - rgb).mean() < 8


def test_committed_clip_is_small_and_says_how_to_rebuild_it() -> None:
    assert sum(p.stat().st_size for p in CLIP.rglob("*") if p.is_file()) <= 8 * 2**20
    readme = (CLIP / "README.md").read_text()
    assert f"--seed {CLIP_SEED} --style {CLIP_STYLE} --start {CLIP_START_S:g}" in readme
    assert "Apache-2.0" in readme


@pytest.mark.parametrize("make", [truck, bus, tram])
def test_vehicles_show_their_windscreen_and_head_lamps_in_front_and_tail_lamps_behind(
    make: Callable[[np.random.Generator], np.ndarray],
) -> None:
    drive = next(d for d in (Drive(seed, "day", (128, 240)) for seed in range(40)) if not d.street.trams)
    view = drive.ego.view(0.0, drive.size)
    model = make(np.random.default_rng(3))

    def painted(surfaces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many pixels each of the surfaces has, and these, in order of painting."""
        surfaces = surfaces[painting_order(surfaces, view, drive.street.strips_x)]
        buffer = paint(joined([np.zeros(1, SURFACE), surfaces]), view)
        return np.bincount(buffer.ravel(), minlength=len(surfaces) + 1)[1:], surfaces

    for heading, in_front in ((0.0, False), (np.pi, True)):
        there = placed(model, view.position[0], view.position[2] + 16, heading)
        pixels, surfaces = painted(there)
        lamps = surfaces["base"][(surfaces["glow"] > 0.5) & (pixels > 0)]
        assert len(lamps) == 2
        assert ((lamps[:, 2] > 0.5) == in_front).all()
        if in_front:  # nothing that is farther back covers the glass
            alone, _ = painted(there[there["tile"] == GLASS])
            assert pixels[surfaces["tile"] == GLASS].sum() > 0.9 * alone.sum()
