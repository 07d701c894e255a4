"""`t2g evaluate` end to end: its figures against counting by hand, the same for every way of running it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import jsonschema
import numpy as np
import pytest
from interrupts import INTERRUPTED, heed_interrupts

from t2g_ros.cli import main
from t2g_ros.evaluation.metrics.flicker import flicker
from t2g_ros.evaluation.report.schema import load_schema
from t2g_ros.flow import METHODS
from t2g_ros.inference.baselines import EmaSegmenter, FlowEmaSegmenter, SingleFrameSegmenter
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.labels import IGNORE
from t2g_ros.runtimes import load_runtime
from t2g_ros.sources import open_source

ROOT = Path(__file__).parents[2]
DRIVE = ROOT / "test" / "data" / "drive"
FRAMES = 24


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the rendered drive, at 15 Hz and with labels."""
    folder = tmp_path_factory.mktemp("recordings") / "drive"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for path in sorted((DRIVE / kind).iterdir())[:FRAMES]:
            shutil.copy(path, folder / kind)
    shutil.copy(DRIVE / "clip.yaml", folder)
    return folder


Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture
def evaluate(tmp_path: Path, random_model: Path) -> Evaluate:
    def run(*args: object, out: Path = tmp_path / "out", model: Path = random_model) -> dict[str, Any]:
        options = ["--out", out, "--model", model, "--runtime", "torch", "--precision", "f32"]
        assert main(["evaluate", *map(str, [*args, *options])]) == 0
        metrics = json.loads((out / "metrics.json").read_text(), parse_constant=pytest.fail)
        jsonschema.validate(metrics, load_schema())
        return metrics

    return run


def rows(metrics: dict[str, Any], *, timed: bool = False) -> list[dict[str, Any]]:
    """The rows, without what differs from run to run."""
    return [{k: v for k, v in row.items() if timed or not k.startswith("latency")} for row in metrics["rows"]]


def confusion(masks: list[np.ndarray], truths: list[np.ndarray], classes: int) -> np.ndarray:
    """IoU per class, counted pixel by pixel."""
    iou = np.full(classes, np.nan)
    mask, truth = np.stack(masks), np.stack(truths)
    for k in range(classes):
        known = truth != IGNORE
        if (truth == k).any():
            iou[k] = ((mask == k) & (truth == k)).sum() / (((mask == k) & known) | (truth == k)).sum()
    return iou


def test_the_headline_row_is_what_a_plain_loop_counts(evaluate: Evaluate, drive: Path, random_model: Path) -> None:
    metrics = evaluate("--frames", drive)
    (row,) = metrics["rows"]
    runtime = load_runtime(random_model, runtime="torch", precision="f32")
    segmenter = StreamSegmenter(runtime)
    items = list(open_source(frames=drive))
    masks = [segmenter.step(item.frame).labels for item in items]  # type: ignore[union-attr]
    truths = [item.labels for item in items if item.labels is not None]
    iou = confusion(masks, truths, len(runtime.labels))
    expected = [None if np.isnan(v) else pytest.approx(100 * v, abs=1e-3) for v in iou]
    assert list(row["iou"].values()) == expected
    assert row["miou"] == pytest.approx(100 * np.nanmean(iou), abs=1e-3)
    pairs = list(itertools.pairwise(masks))
    assert row["flicker"] == pytest.approx(100 * np.mean([flicker(a, b) for a, b in pairs]), abs=1e-3)
    of_truth = [flicker(a, b) for a, b in itertools.pairwise(truths)]
    assert row["truth_flicker"] == pytest.approx(100 * np.mean(of_truth), abs=1e-3)
    assert (row["masks"], row["reference_frames"], row["miou_drop"]) == (FRAMES, FRAMES, 0)
    assert sum(b["pixels"] for b in row["calibration"]) == sum((t != IGNORE).sum() for t in truths)
    assert row["latency_ms"]["total"]["p50"] > row["latency_ms"]["encode"]["p50"] > 0
    assert sum(row["latency_histogram"]["counts"]) + row["latency_histogram"]["beyond"] == FRAMES
    (timeline,) = metrics["timelines"]
    assert timeline["flicker"][1:] == pytest.approx([100 * flicker(a, b) for a, b in pairs], abs=1e-3)
    assert timeline["flicker"][0] is None
    assert timeline["time_s"][-1] == pytest.approx((FRAMES - 1) / 15, abs=1e-6)


def test_two_runs_give_the_same_figures(evaluate: Evaluate, drive: Path) -> None:
    arguments = ("--frames", drive, "--strides", "1,3", "--jitter", "2", "--drop", "0.4", "--no-overlay")
    assert rows(evaluate(*arguments)) == rows(evaluate(*arguments))


def test_every_row_is_judged_on_the_same_frames(evaluate: Evaluate, drive: Path) -> None:
    arguments = ("--strides", "1,2,5", "--jitter", "3", "--drop", "0.4", "--corruptions", "fog", "--severities", "1,5")
    found = {row["condition"]: row for row in rows(evaluate("--frames", drive, *arguments))}
    assert list(found) == ["stride 1", "stride 2", "stride 5", "jitter 3", "drop 0.4", "fog 1", "fog 5"]
    pixels = {name: sum(b["pixels"] for b in row["calibration"]) for name, row in found.items()}
    assert len(set(pixels.values())) == 1
    assert {row["reference_frames"] for row in found.values()} == {FRAMES}
    for row in found.values():
        assert row["miou_drop"] == pytest.approx(found["stride 1"]["miou"] - row["miou"], abs=2e-3)
    # The scene moves further between frames that lie further apart.
    assert found["stride 5"]["truth_flicker"] > found["stride 2"]["truth_flicker"] > found["stride 1"]["truth_flicker"]
    assert found["stride 5"]["mvc8"] is None  # no stream has eight frames
    # Flow and truth are those of the scene, not of the weather.
    assert found["fog 5"]["truth_flicker_compensated"] == found["stride 1"]["truth_flicker_compensated"]
    assert found["fog 5"]["iou"] != found["stride 1"]["iou"]


def test_a_stride_is_as_many_streams_of_a_slower_camera(evaluate: Evaluate, drive: Path, random_model: Path) -> None:
    found = {row["condition"]: row for row in rows(evaluate("--frames", drive, "--strides", "4"))}
    runtime = load_runtime(random_model, runtime="torch", precision="f32")
    items = list(open_source(frames=drive))
    masks, truths, changes = [], [], []
    for first in range(4):
        segmenter = StreamSegmenter(runtime)
        stream = [segmenter.step(item.frame).labels for item in items[first::4]]  # type: ignore[union-attr]
        changes += [flicker(a, b) for a, b in itertools.pairwise(stream)]
        masks += stream
        truths += [item.labels for item in items[first::4] if item.labels is not None]
    iou = confusion(masks, truths, len(runtime.labels))
    assert found["stride 4"]["miou"] == pytest.approx(100 * np.nanmean(iou), abs=1e-3)
    assert found["stride 4"]["flicker"] == pytest.approx(100 * np.mean(changes), abs=1e-3)


def test_baselines_are_the_same_network_without_its_memory(evaluate: Evaluate, drive: Path, random_model: Path) -> None:
    arguments = ("--frames", drive, "--baselines", "--flow", "farneback", "--no-overlay")
    found = {row["mode"]: row for row in rows(evaluate(*arguments))}
    assert list(found) == ["memory", "single_frame", "ema_0.5", "flow_ema_0.5", "flow_ema_0.8"]
    items = list(open_source(frames=drive))
    along = METHODS["farneback"]
    for mode, kind in (
        ("single_frame", SingleFrameSegmenter),
        ("ema_0.5", partial(EmaSegmenter, weight=0.5)),
        ("flow_ema_0.5", partial(FlowEmaSegmenter, weight=0.5, flow=along)),
        ("flow_ema_0.8", partial(FlowEmaSegmenter, weight=0.8, flow=along)),
    ):
        segmenter = kind(load_runtime(random_model, runtime="torch", precision="f32"))
        masks = [segmenter.step(item.frame).labels for item in items]  # type: ignore[union-attr]
        changes = [flicker(a, b) for a, b in itertools.pairwise(masks)]
        assert found[mode]["flicker"] == pytest.approx(100 * np.mean(changes), abs=1e-3)
    assert len({row["flicker"] for row in found.values()}) == 5


def test_a_bag_gives_the_figures_of_the_frames_that_it_was_made_from(
    evaluate: Evaluate, drive: Path, tmp_path: Path
) -> None:
    assert main(["make-bag", "--frames", str(drive), "--out", str(tmp_path / "bag")]) == 0
    arguments = ("--strides", "2", "--no-overlay")
    of_bag = evaluate("--bag", tmp_path / "bag", *arguments)
    assert rows(of_bag) == rows(evaluate("--frames", drive, *arguments))
    assert of_bag["inputs"][0]["truth_label_space"] == "cityscapes19"


def test_the_masks_bag_holds_every_mask_under_its_stamp(
    evaluate: Evaluate, drive: Path, tmp_path: Path, random_model: Path
) -> None:
    evaluate("--frames", drive, "--strides", "1,3", "--masks-bag", tmp_path / "masks", "--no-overlay")
    segmenter = StreamSegmenter(load_runtime(random_model, runtime="torch", precision="f32"))
    bag = open_source(bag=tmp_path / "masks", image_topic="/camera/segmentation/mask")
    for item, mask in zip(open_source(frames=drive), bag, strict=True):
        segmentation = segmenter.step(item.frame)
        assert segmentation is not None
        assert mask.frame.stamp_ns == item.frame.stamp_ns + 10**9  # 0 means "not set" in ROS
        np.testing.assert_array_equal(mask.frame.rgb[..., 0], segmentation.labels)


def test_several_models_stand_side_by_side(evaluate: Evaluate, drive: Path, tmp_path: Path, random_model: Path) -> None:
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(random_model.with_suffix(suffix), tmp_path / f"other{suffix}")
    metrics = evaluate("--frames", drive, "--model", tmp_path / "other.safetensors", "--no-overlay")
    assert [model["model"] for model in metrics["models"]] == ["tiny_test", "tiny_test_2"]
    one, other = rows(metrics)
    assert (one.pop("model"), other.pop("model")) == ("tiny_test", "tiny_test_2")
    assert one == other


def test_truth_and_masks_meet_in_the_classes_asked_for(evaluate: Evaluate, drive: Path) -> None:
    metrics = evaluate("--frames", drive, "--classes", "dgvss15")
    assert metrics["settings"]["label_space"] == "dgvss15"
    assert len(metrics["rows"][0]["iou"]) == 15
    assert metrics["inputs"][0]["truth_label_space"] == "cityscapes19"


def test_a_recording_without_truth_says_nothing_of_accuracy(evaluate: Evaluate, drive: Path) -> None:
    metrics = evaluate("--frames", drive / "images", "--fps", 15)
    (row,) = metrics["rows"]
    for key in ("miou", "miou_protocol", "mvc8", "ece", "flicker_stable", "truth_flicker"):
        assert row[key] is None
    assert set(row["iou"].values()) == {None}
    assert row["flicker"] > 0
    assert row["tc"] > 0
    assert metrics["inputs"][0]["truth_label_space"] is None


def test_the_record_says_what_was_evaluated_how_and_where(evaluate: Evaluate, drive: Path, random_model: Path) -> None:
    import hashlib

    metrics = evaluate("--frames", drive, "--clip-span-s", "0.5")
    assert metrics["inputs"][0]["sha256"] == open_source(frames=drive).content_hash()
    assert metrics["models"][0]["sha256"] == hashlib.sha256(random_model.read_bytes()).hexdigest()
    assert metrics["models"][0]["runtime"] == "torch"
    assert metrics["command"][:6] == ["t2g", "evaluate", "--frames", str(drive), "--clip-span-s", "0.5"]
    assert metrics["settings"]["clip_span_s"] == 0.5
    assert "DIS" in metrics["settings"]["flow"]
    assert metrics["versions"]["opencv"] == cv2.__version__
    assert metrics["machine"]["cores"] == len(os.sched_getaffinity(0))


def test_the_folder_holds_a_page_and_a_video(evaluate: Evaluate, drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    metrics = evaluate("--frames", drive)
    assert {p.name for p in out.iterdir()} == {"metrics.json", "report.html", "overlay.mp4", "notes.txt"}
    with av.open(str(out / "overlay.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == FRAMES
    page = (out / "report.html").read_text()
    assert f"{metrics['rows'][0]['miou']:.1f}" in page
    assert page.count("data:image/jpeg;base64,") >= 4  # image, mask, ground truth, stability of a moment


def test_a_pattern_judges_all_recordings_together(evaluate: Evaluate, drive: Path, tmp_path: Path) -> None:
    parts = two_recordings(drive, tmp_path)
    metrics = evaluate("--frames", str(tmp_path / "part*"), "--strides", "3", "--no-overlay")
    assert [recording["name"] for recording in metrics["inputs"]] == ["part1", "part2"]
    one = [evaluate("--frames", part, "--strides", "3", "--no-overlay") for part in parts]
    for i, row in enumerate(rows(metrics)):
        halves = [rows(each)[i] for each in one]
        assert row["masks"] == sum(half["masks"] for half in halves)
        weights = [half["masks"] - (3 if half["stride"] == 3 else 1) for half in halves]
        expected = np.average([half["flicker"] for half in halves], weights=weights)
        assert row["flicker"] == pytest.approx(expected, abs=2e-3)


def two_recordings(drive: Path, folder: Path) -> list[Path]:
    parts = [folder / "part1", folder / "part2"]
    for index, part in enumerate(parts):
        for kind in ("images", "labels"):
            (part / kind).mkdir(parents=True)
            for path in sorted((drive / kind).iterdir())[index * 10 : FRAMES - 6 + 3 * index]:
                shutil.copy(path, part / kind)
        (part / "clip.yaml").write_text("fps: 15\nlabels: cityscapes19\n")
    return parts


@pytest.mark.timeout(600)
def test_processes_under_torchrun_come_to_the_same_figures(
    evaluate: Evaluate, drive: Path, tmp_path: Path, random_model: Path
) -> None:
    two_recordings(drive, tmp_path)
    arguments = [
        "--frames",
        tmp_path / "part1",
        tmp_path / "part2",
        "--strides",
        "1,2,3",
        "--no-overlay",
        "--threads",
        1,
    ]
    alone = evaluate(*arguments)
    out = tmp_path / "sharded"
    options = ["--out", out, "--model", random_model, "--runtime", "torch", "--precision", "f32"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "t2g_ros.cli", "evaluate", *map(str, [*arguments, *options])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout + result.stderr
    together = json.loads((out / "metrics.json").read_text())
    assert rows(together) == rows(alone)
    assert together["inputs"] == alone["inputs"]
    assert together["timelines"] == alone["timelines"]


def test_a_damaged_frame_is_left_out_of_every_row_alike(evaluate: Evaluate, drive: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(drive, broken)
    victim = sorted((broken / "images").iterdir())[10]
    victim.write_bytes(b"no image")
    metrics = evaluate("--frames", broken, "--strides", "1,2,5", "--no-overlay")
    assert {row["reference_frames"] for row in metrics["rows"]} == {FRAMES - 1}
    assert metrics["inputs"][0]["frames"] == FRAMES - 1
    assert metrics["inputs"][0]["lost"] == [f"an image cannot be decoded: {victim.name}"]


def test_a_recording_that_cannot_be_evaluated_does_not_cost_the_others(
    drive: Path, tmp_path: Path, random_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(drive, wrong)
    label = sorted((wrong / "labels").iterdir())[10]
    cv2.imwrite(str(label), np.zeros((4, 4), np.uint8))
    options = ["--out", tmp_path / "out", "--model", random_model, "--runtime", "torch", "--strides", "1,2"]
    assert main(["evaluate", "--frames", *map(str, [wrong, drive, *options])]) == 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    jsonschema.validate(metrics, load_schema())
    assert [recording["frames"] for recording in metrics["inputs"]] == [0, FRAMES]
    assert label.name in metrics["inputs"][0]["lost"][0]
    assert {row["masks"] for row in metrics["rows"]} == {FRAMES}
    assert label.name in capsys.readouterr().err
    assert {p.name for p in (tmp_path / "out").glob("*.mp4")} == {"overlay_drive.mp4"}
    assert main(["evaluate", "--frames", *map(str, [wrong, *options])]) == 2


def test_a_repeated_stamp_is_left_out_and_told(evaluate: Evaluate, drive: Path, tmp_path: Path) -> None:
    from itertools import islice

    from t2g_ros.sources.bags.writer import RosBagWriter

    with RosBagWriter(tmp_path / "bag", "/camera") as writer:
        for item in islice(open_source(frames=drive), 6):
            stamp_ns = 10**9 + item.frame.stamp_ns // 10**8 * 10**8  # at 15 Hz every third one twice
            writer.put_image("image_raw", stamp_ns, "camera", item.frame.rgb)
    metrics = evaluate("--bag", tmp_path / "bag", "--no-overlay")
    assert metrics["rows"][0]["masks"] == 4
    assert metrics["inputs"][0]["lost"] == ["2 frames repeat the stamp of the frame before and were left out"]


def test_only_what_the_evaluation_itself_writes_is_replaced(evaluate: Evaluate, drive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate("--frames", drive)
    recording = out / "overlay_monday.mp4"
    shutil.copy(out / "overlay.mp4", recording)
    before = recording.read_bytes()
    evaluate("--video", recording)
    assert recording.read_bytes() == before


def test_a_recording_is_never_overwritten(drive: Path, tmp_path: Path, random_model: Path, evaluate: Evaluate) -> None:
    evaluate("--frames", drive)
    video = tmp_path / "out" / "overlay.mp4"
    before = video.read_bytes()
    options = ["--out", str(tmp_path / "out"), "--model", str(random_model), "--runtime", "torch"]
    assert main(["evaluate", "--video", str(video), *options]) == 2
    assert video.read_bytes() == before


def test_what_fails_at_once_leaves_earlier_results(evaluate: Evaluate, drive: Path, tmp_path: Path) -> None:
    evaluate("--frames", drive, "--no-overlay")
    before = (tmp_path / "out" / "metrics.json").read_bytes()
    for wrong in (["--classes", "camvid32"], ["--lag-frames", "99"]):
        assert main(["evaluate", "--frames", str(drive), "--out", str(tmp_path / "out"), *wrong]) == 2
    assert (tmp_path / "out" / "metrics.json").read_bytes() == before


def test_an_interrupted_run_leaves_no_half_files(drive: Path, tmp_path: Path, random_model: Path) -> None:
    out, masks = tmp_path / "out", tmp_path / "masks"
    options = ["--out", out, "--masks-bag", masks, "--model", random_model, "--runtime", "torch", "--drop", "0.9"]
    command = [sys.executable, "-m", "t2g_ros.cli", "evaluate", *map(str, ["--frames", DRIVE, *options])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, preexec_fn=heed_interrupts)
    deadline = time.monotonic() + 120
    while not masks.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) in INTERRUPTED
    assert not masks.exists()
    assert not (out / "overlay.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "camvid32"], "say with --classes"),
        (["--lag-frames", "9"], "lag is 9"),
        (["--frames", "nothing*"], "nothing*"),
        (["--masks-bag", "."], "exists already"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], message: str, drive: Path, random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = [] if "--frames" in arguments else ["--frames", str(drive)]
    command = ["evaluate", *source, *arguments, "--out", str(tmp_path / "out"), "--model", str(random_model)]
    assert main([*command, "--runtime", "torch"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if message in line]
    assert line.startswith("t2g: ")


@pytest.mark.parametrize(
    "arguments", [["--strides", "0"], ["--drop", "1"], ["--severities", "6"], ["--corruptions", "rain"]]
)
def test_values_out_of_range_are_refused(arguments: list[str], drive: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["evaluate", "--frames", str(drive), "--out", str(tmp_path), *arguments])
    assert refused.value.code == 2


def test_a_lag_gives_every_mask_to_its_own_frame(evaluate: Evaluate, drive: Path) -> None:
    (row,) = evaluate("--frames", drive, "--lag-frames", "2")["rows"]
    assert row["masks"] == FRAMES - 2
    assert row["reference_frames"] == FRAMES - 2


def test_a_difference_of_other_frames_is_not_given(evaluate: Evaluate, drive: Path) -> None:
    metrics = evaluate("--frames", drive, "--lag-frames", "2", "--strides", "3", "--no-overlay")
    one, three = metrics["rows"]
    assert (one["reference_frames"], three["reference_frames"]) == (FRAMES - 2, FRAMES - 6)
    assert (one["miou_drop"], three["miou_drop"]) == (0, None)
    assert metrics["inputs"][0]["frames"] == FRAMES


def test_the_truth_s_flicker_is_given_only_for_the_frames_of_the_masks(
    evaluate: Evaluate, drive: Path, tmp_path: Path
) -> None:
    sparse = tmp_path / "sparse"
    shutil.copytree(drive, sparse)
    for path in sorted((sparse / "labels").iterdir())[4:]:
        path.unlink()
    cv2.imwrite(str(sorted((sparse / "labels").iterdir())[0]), np.full((320, 640), IGNORE, np.uint8))
    (row,) = evaluate("--frames", sparse, "--no-overlay")["rows"]
    assert row["truth_flicker"] is None
    assert row["miou"] is not None
    assert row["reference_frames"] == 3  # of four label files one is all void


def test_nothing_is_compared_across_a_gap(evaluate: Evaluate, drive: Path, tmp_path: Path) -> None:
    gap = tmp_path / "gap"
    for kind in ("images", "labels"):
        (gap / kind).mkdir(parents=True)
        for index, path in enumerate(sorted((drive / kind).iterdir())[:8]):
            stamp_ns = 10**9 * (1 if index < 4 else 5) + index * 66_666_667
            shutil.copy(path, gap / kind / f"{stamp_ns}{path.suffix}")
    (gap / "clip.yaml").write_text("labels: cityscapes19\n")
    metrics = evaluate("--frames", gap, "--no-overlay")
    assert metrics["rows"][0]["resets"] == {"gap": 1}
    (timeline,) = metrics["timelines"]
    for series in ("flicker", "flicker_compensated", "truth_flicker"):
        assert [value is None for value in timeline[series]] == [True, False, False, False] * 2
