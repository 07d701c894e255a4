"""The demo as a user runs it: three processes over DDS, and what they leave behind."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

pytest.importorskip("rclpy", reason="needs rclpy: a ROS distribution or the wheels of the extra ros-jazzy")

ROOT = Path(__file__).resolve().parents[2]
DRIVE = ROOT / "test" / "data" / "drive"
FRAMES = 9
FPS = 2
"""Slow enough that a machine busy with other tests drops none."""


def t2g(*arguments: object, domain_id: int, cache: Path, timeout_s: float = 170) -> subprocess.CompletedProcess:
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain_id), "T2G_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "t2g_ros.cli", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Every third frame of the shipped drive, with labels."""
    folder = tmp_path / "clip"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
        for file in sorted((DRIVE / part).iterdir())[: 3 * FRAMES : 3]:
            shutil.copy(file, folder / part)
    (folder / "clip.yaml").write_text("fps: 5\nlabels: cityscapes19\n")
    return folder


def recorded(bag: Path) -> dict[str, dict[int, np.ndarray]]:
    """Topic -> stamp -> image."""
    images: dict[str, dict[int, np.ndarray]] = {}
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            if connection.msgtype == "sensor_msgs/msg/Image":
                msg = reader.deserialize(data, connection.msgtype)
                stamp = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec
                images.setdefault(connection.topic, {})[stamp] = msg.data.reshape(msg.height, msg.width)
    return images


def test_every_frame_gets_its_mask_and_the_live_masks_are_the_offline_ones(
    clip: Path, random_model: Path, domain_id: int, model_cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    model = ("--model", random_model, "--fps", FPS)
    live = t2g("demo", "--frames", clip, "--out", out, *model, domain_id=domain_id, cache=model_cache)
    assert live.returncode == 0, live.stderr
    assert "XMLPARSER" not in live.stderr + (out / "node.log").read_text()  # Fast DDS on config/fastdds.xml

    summary = json.loads((out / "summary.json").read_text())
    assert (summary["frames_in"], summary["masks_out"]) == (FRAMES, FRAMES)
    assert (summary["dropped"], summary["wrong_stamps"]) == (0, 0)
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]
    stages = summary["stage_ms"]
    assert {"wait", "convert", "preprocess", "encode", "decode", "postprocess", "publish", "total"} <= stages.keys()
    assert all(times["p50"] <= times["p95"] for times in stages.values())
    assert 0 <= summary["flicker"] <= 100
    assert 0 <= summary["miou"] <= 100
    assert summary["model"] == "tiny_test"
    assert summary["runtime"] in ("openvino", "torch")
    assert summary["precision"] in ("f32", "bf16")
    for key in ("frames_in", "dropped", "latency_ms", "flicker", "miou"):
        assert key in live.stdout

    with (out / "frames.csv").open(newline="") as file:
        played = {int(row["stamp_ns"]): row["name"] for row in csv.DictReader(file)}
    images = recorded(out / "masks_bag")
    masks = next(found for topic, found in images.items() if topic.endswith("segmentation/mask"))
    assert list(masks) == list(played)
    assert {topic.rsplit("/", 1)[1] for topic in images} == {"mask", "confidence", "stability"}

    masks_offline = tmp_path / "masks"
    offline = t2g("predict", "--frames", clip, "--out", masks_offline, *model, domain_id=domain_id, cache=model_cache)
    assert offline.returncode == 0, offline.stderr
    for stamp, name in played.items():
        png = cv2.imread(str(masks_offline / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(png, masks[stamp]), name

    with av.open(str(out / "overlay.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == FRAMES


def test_without_labels_there_is_no_miou_and_an_old_run_is_replaced(
    clip: Path, random_model: Path, domain_id: int, model_cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "masks_bag").mkdir(parents=True)
    (out / "masks_bag" / "metadata.yaml").touch()
    (out / "masks_bag" / "old").touch()
    (out / "mine.txt").touch()
    arguments = ("--out", out, "--model", random_model, "--fps", FPS)
    run = t2g("demo", "--frames", clip / "images", *arguments, domain_id=domain_id, cache=model_cache)
    assert run.returncode == 0, run.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["miou"] is None
    assert summary["flicker"] is not None
    assert not (out / "masks_bag" / "old").exists()
    assert (out / "mine.txt").exists()


def test_a_bag_can_be_played(clip: Path, random_model: Path, domain_id: int, model_cache: Path, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    made = t2g("make-bag", "--frames", clip, "--out", bag, domain_id=domain_id, cache=model_cache)
    assert made.returncode == 0, made.stderr
    source = ("--bag", bag, "--image-topic", "/camera/image_raw", "--fps", FPS)
    run = t2g(
        "demo", *source, "--out", tmp_path / "out", "--model", random_model, domain_id=domain_id, cache=model_cache
    )
    assert run.returncode == 0, run.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["frames_in"], summary["masks_out"], summary["wrong_stamps"]) == (FRAMES, FRAMES, 0)


def test_a_source_that_is_not_there_is_refused_before_anything_starts(
    domain_id: int, model_cache: Path, tmp_path: Path
) -> None:
    run = t2g("demo", "--frames", tmp_path / "no", "--out", tmp_path / "out", domain_id=domain_id, cache=model_cache)
    assert run.returncode == 2
    assert "no: not a folder" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_told_as_the_node_tells_it(
    clip: Path, random_model: Path, domain_id: int, model_cache: Path, tmp_path: Path
) -> None:
    model = tmp_path / "damaged.safetensors"
    model.write_bytes(random_model.read_bytes()[:1000])
    shutil.copy(random_model.with_suffix(".yaml"), model.with_suffix(".yaml"))
    arguments = ("--frames", clip, "--out", tmp_path / "out", "--model", model)
    run = t2g("demo", *arguments, domain_id=domain_id, cache=model_cache)
    assert run.returncode == 2
    assert "damaged.safetensors: not a readable safetensors file" in run.stderr


def test_a_folder_that_is_no_bag_is_not_replaced(clip: Path, domain_id: int, model_cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "masks_bag" / "mine.png"
    mine.parent.mkdir(parents=True)
    mine.touch()
    run = t2g("demo", "--frames", clip, "--out", tmp_path / "out", domain_id=domain_id, cache=model_cache)
    assert run.returncode == 2
    assert "masks_bag: is there already and is no bag" in run.stderr
    assert mine.exists()
