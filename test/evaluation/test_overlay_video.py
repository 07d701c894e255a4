from pathlib import Path

import av
import numpy as np

from t2g_ros.evaluation.outputs.overlay_video import MAX_PANEL_WIDTH, OverlayVideo
from t2g_ros.labels import CITYSCAPES19

ROAD = CITYSCAPES19.id_of("road")


def frame(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey image, all of it road, unstable in its left half."""
    stability = np.full((height // 2, width // 2), 255, np.uint8)
    stability[:, : width // 4] = 0
    return np.full((height, width, 3), 100, np.uint8), np.full((height, width), ROAD, np.uint8), stability


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [picture.to_ndarray(format="rgb24") for picture in file.decode(video=0)]


def test_overlay_and_stability_stand_side_by_side(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / "a.mp4", CITYSCAPES19, 15.0) as video:
        for _ in range(4):
            video.add(*frame(120, 200))
    pictures = decode(tmp_path / "a.mp4")
    assert len(pictures) == 4
    left, right = pictures[0][:120, :200].astype(int), pictures[0][:120, 200:400].astype(int)
    tinted = (100 + CITYSCAPES19.palette[ROAD]) / 2
    assert np.abs(left[20:100, 20:180].mean((0, 1)) - tinted).max() < 8
    assert right[20:100, 20:80].mean() > 100  # bright: flickering
    assert right[20:100, 120:180].mean() < 20


def test_the_rate_is_the_camera_s(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / "a.mp4", CITYSCAPES19, 29.97) as video:
        video.add(*frame(120, 200))
    with av.open(str(tmp_path / "a.mp4")) as file:
        rate = file.streams.video[0].average_rate
        assert rate is not None
        assert abs(float(rate) - 29.97) < 0.01


def test_any_size_and_a_change_of_size_are_drawn(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / "a.mp4", CITYSCAPES19, 10.0) as video:
        video.add(*frame(121, 2 * MAX_PANEL_WIDTH + 1))
        rgb, labels, _ = frame(63, 77)
        video.add(rgb, labels, None)
    first, second = decode(tmp_path / "a.mp4")
    assert first.shape == second.shape
    assert first.shape[1] == 2 * MAX_PANEL_WIDTH


def test_without_a_frame_there_is_no_picture_and_no_error(tmp_path: Path) -> None:
    with OverlayVideo(tmp_path / "a.mp4", CITYSCAPES19, 10.0):
        pass
