from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import make_folder, make_video, picture

from t2g_ros.cli import main
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.labels import CITYSCAPES19
from t2g_ros.runtimes import load_runtime
from t2g_ros.sources.bags.source import RAW_TYPE
from t2g_ros.sources.bags.writer import RosBagWriter
from t2g_ros.types import NS_PER_S, Frame


def predict(out: Path, model: Path, *args: object) -> int:
    options = ["--out", out, "--model", model, "--runtime", "torch", "--precision", "f32"]
    return main(["predict", *map(str, [*args, *options])])


def masks(out: Path) -> dict[str, np.ndarray]:
    return {p.stem: cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(out.glob("*.png"))}


def test_a_folder_becomes_the_masks_of_a_stream(tmp_path: Path, random_model: Path) -> None:
    stems = [f"f{i}" for i in range(6)]
    folder = make_folder(tmp_path / "d", stems, highest_id=10)
    assert predict(tmp_path / "out", random_model, "--frames", folder, "--fps", 8) == 0
    found = masks(tmp_path / "out")
    segmenter = StreamSegmenter(load_runtime(random_model, runtime="torch", precision="f32"))
    for index, stem in enumerate(stems):
        segmentation = segmenter.step(Frame(picture(index), index * 125_000_000))
        assert segmentation is not None
        np.testing.assert_array_equal(found.pop(stem), segmentation.labels)
    assert not found


def test_the_record_says_how_the_masks_were_made(tmp_path: Path, random_model: Path) -> None:
    folder = make_folder(tmp_path / "d", ["0", "1", "2"])
    predict(tmp_path / "out", random_model, "--frames", folder, "--fps", 0.25)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["model"], record["runtime"], record["precision"]) == ("tiny_test", "torch", "f32")
    assert (record["frames"], record["fps"], record["every"]) == (3, 0.25, 1)
    assert record["resets"] == {"gap": 2}  # 4 s apart
    stages = {"preprocess", "encode", "decode", "postprocess"}
    assert set(record["stage_ms"]) == {*stages, "total"}
    assert all(0 < t["median"] <= t["p95"] for t in record["stage_ms"].values())
    assert sum(record["stage_ms"][s]["median"] for s in stages) <= record["stage_ms"]["total"]["p95"] * 1.01
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == CITYSCAPES19.to_json()
    hashed = record["input_sha256"]
    cv2.imwrite(str(folder / "images" / "1.png"), picture(9))
    predict(tmp_path / "out", random_model, "--frames", folder, "--fps", 0.25)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["input_sha256"] != hashed


def test_every_nth_frame_keeps_its_stamp(tmp_path: Path, random_model: Path) -> None:
    folder = make_folder(tmp_path / "d", [str(i) for i in range(7)])
    predict(tmp_path / "out", random_model, "--frames", folder, "--fps", 1, "--every", 3)
    assert set(masks(tmp_path / "out")) == {"0", "3", "6"}
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["resets"] == {"gap": 2}  # 3 s are over the 2 s limit, so the stride reached the memory


def test_video_and_bag_masks_are_named_by_stamp(tmp_path: Path, random_model: Path) -> None:
    video = make_video(tmp_path / "v.mkv", [0, 40, 90])
    predict(tmp_path / "of_video", random_model, "--video", video)
    of_video = masks(tmp_path / "of_video")
    assert list(of_video) == ["0", "40000000", "90000000"]
    assert main(["make-bag", "--video", str(video), "--out", str(tmp_path / "b")]) == 0
    predict(tmp_path / "of_bag", random_model, "--bag", tmp_path / "b", "--image-topic", "/camera/image_raw")
    of_bag = masks(tmp_path / "of_bag")
    assert list(of_bag) == ["1000000000", "1040000000", "1090000000"]
    for one, other in zip(of_video.values(), of_bag.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "d", ["0"])
    assert predict(tmp_path / "out", tmp_path / "no.safetensors", "--frames", folder, "--fps", 1) == 2
    assert "no.safetensors: no such file" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_named(
    tmp_path: Path, random_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path / "d", ["0"])
    (tmp_path / "out").write_text("a file")
    assert predict(tmp_path / "out", random_model, "--frames", folder, "--fps", 1) == 2
    assert f"output {tmp_path / 'out'}: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--fps", "0"], ["--every", "0"], ["--fps", "nan"], ["--runtime", "abacus"]])
def test_values_out_of_range_are_refused(tmp_path: Path, random_model: Path, option: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        predict(tmp_path / "out", random_model, "--frames", tmp_path, *option)
    assert stop.value.code == 2


def test_one_source_is_required(tmp_path: Path, random_model: Path) -> None:
    with pytest.raises(SystemExit):
        predict(tmp_path / "out", random_model)
    with pytest.raises(SystemExit):
        predict(tmp_path / "out", random_model, "--frames", tmp_path, "--video", tmp_path)


def test_every_frame_of_a_looped_bag_has_a_file(
    tmp_path: Path, random_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / "b"
    with RosBagWriter(bag, "/camera") as writer:
        for index, second in enumerate([1, 2, 2, 1, 2]):
            writer.put(
                "image_raw",
                RAW_TYPE,
                (10 + index) * NS_PER_S,
                header=writer.header(second * NS_PER_S, "cam"),
                height=48,
                width=64,
                encoding="rgb8",
                is_bigendian=0,
                step=64 * 3,
                data=picture(index).reshape(-1),
            )
    assert predict(tmp_path / "out", random_model, "--bag", bag) == 0
    found = capsys.readouterr()
    assert "1 frames repeat the stamp of the frame before and were left out" in found.err
    assert "4 masks" in found.out
    assert len(masks(tmp_path / "out")) == 4
    assert predict(tmp_path / "anew", random_model, "--bag", bag, "--fps", 10) == 0
    assert len(masks(tmp_path / "anew")) == 5
