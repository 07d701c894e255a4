from pathlib import Path

import cv2
import numpy as np
import pytest

from t2g_ros.errors import InputError
from t2g_ros.labels import CAMVID11
from t2g_ros.training.datasets import LabelledFolder


def test_frames_of_a_video_carry_their_drive_and_time(drive: Path) -> None:
    folder = LabelledFolder(drive, CAMVID11, video_fps=30.0)
    assert [i.sequence for i in folder.images] == ["a"] * 8
    assert [i.time_s for i in folder.images] == pytest.approx(list(range(8)))
    assert folder.images[0].rgb[50, 0].tolist() == [80, 80, 80]
    assert folder.images[3].labels[70, 60] == CAMVID11.id_of("car")


def test_images_are_rgb(drive: Path) -> None:
    car = LabelledFolder(drive, CAMVID11).images[0].rgb[70, 30]
    assert car.tolist() == [220, 40, 30]


def test_a_part_can_be_held_out(drive: Path) -> None:
    kept = LabelledFolder(drive, CAMVID11, keep=(0, 6)).images
    held_out = LabelledFolder(drive, CAMVID11, keep=(6, 8)).images
    assert (len(kept), len(held_out)) == (6, 2)


def test_the_hash_is_of_the_content(drive: Path) -> None:
    before = LabelledFolder(drive, CAMVID11).sha256()
    assert LabelledFolder(drive, CAMVID11).sha256() == before
    label = next((drive / "labels").iterdir())
    cv2.imwrite(str(label), np.full((96, 160), 3, np.uint8))
    assert LabelledFolder(drive, CAMVID11).sha256() != before


def break_folder(drive: Path, how: str) -> str:
    image, label = drive / "images" / "a_00000.png", drive / "labels" / "a_00000.png"
    if how == "label missing":
        label.unlink()
        return r"a_00000\.png: missing"
    if how == "label size":
        cv2.imwrite(str(label), np.zeros((10, 10), np.uint8))
        return r"a_00000\.png: shape \(10, 10\)"
    if how == "label id":
        cv2.imwrite(str(label), np.full((96, 160), 12, np.uint8))
        return r"a_00000\.png: id\(s\) \[12\] are not in camvid11"
    if how == "image damaged":
        image.write_bytes(b"no image")
        return r"a_00000\.png: cannot be decoded"
    image.rename(image.with_name("noframe.png"))
    label.rename(label.with_name("noframe.png"))
    return r"noframe\.png: the name does not end in a frame number"


@pytest.mark.parametrize("how", ["label missing", "label size", "label id", "image damaged", "name"])
def test_what_is_wrong_is_named(drive: Path, how: str) -> None:
    said = break_folder(drive, how)
    with pytest.raises(InputError, match=said):
        LabelledFolder(drive, CAMVID11, video_fps=30.0)


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="images"):
        LabelledFolder(tmp_path, CAMVID11)
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="no image"):
        LabelledFolder(tmp_path, CAMVID11)
