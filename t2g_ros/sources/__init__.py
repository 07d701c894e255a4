"""Recorded frames behind one interface: a folder of images, a video file, or a bag's image topic."""

from __future__ import annotations

from pathlib import Path

from t2g_ros.errors import InputError
from t2g_ros.sources.base import Source, SourceFrame

__all__ = ["Source", "SourceFrame", "open_source"]


def open_source(
    *,
    frames: Path | None = None,
    video: Path | None = None,
    bag: Path | None = None,
    image_topic: str | None = None,
    fps: float | None = None,
    label_space: str | None = None,
    truth_topic: str | None = None,
) -> Source:
    """Open exactly one of a folder, a video and a bag.

    Args:
        frames: a folder of images, or one that holds `images/` and, with the same stems, `labels/`.
        video: a file that FFmpeg reads.
        bag: a rosbag2 folder, an `.mcap` or `.db3` file, or a ROS 1 `.bag`.
        image_topic: the bag's topic to read, raw or compressed.
        fps: stamp the frames 1 / fps apart from 0 on, whatever the recording says; for a folder that says
            nothing `sources.folder.DEFAULT_FPS` is assumed.
        label_space: name of the space of a folder's labels or a bag's ground truth; without it a folder's
            `clip.yaml` or the ids tell, and a bag's own `ground_truth/labels`.
        truth_topic: the bag's topic of masks; without it `ground_truth/mask` beside the images.

    Raises:
        InputError: not one source, or it is missing or is not what it claims to be.
    """
    if sum(path is not None for path in (frames, video, bag)) != 1:
        raise InputError("source: expected exactly one of a frames folder, a video and a bag")
    if fps is not None and not 0 < fps < float("inf"):
        raise InputError(f"source: fps is {fps}, expected more than 0")
    if label_space is not None and video is not None:
        raise InputError(f"source: label space '{label_space}' was given, but a video has no labels")
    if (topic := image_topic or truth_topic) and bag is None:
        raise InputError(f"source: topic '{topic}' was given, but no bag")
    # Each kind needs its own library, so it is imported when it is asked for.
    if frames is not None:
        from t2g_ros.sources.folder import FolderSource

        return FolderSource(frames, fps=fps, label_space=label_space)
    if video is not None:
        from t2g_ros.sources.video import VideoSource

        return VideoSource(video, fps=fps)
    from t2g_ros.sources.bags.source import BagSource

    assert bag is not None
    return BagSource(bag, image_topic, fps=fps, truth_topic=truth_topic, label_space=label_space)
