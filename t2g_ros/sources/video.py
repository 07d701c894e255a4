"""A video file as a recording, under the stamps that its container gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import numpy as np

from t2g_ros.errors import InputError
from t2g_ros.sources.base import Losses, Source, SourceFrame
from t2g_ros.types import NS_PER_S, Frame


class VideoSource(Source):
    """The first video stream of a file; stamps are the presentation times, so a variable rate is kept.

    Raises:
        InputError: the file is missing, not a video, or holds no video stream.
    """

    def __init__(self, path: Path, *, fps: float | None = None) -> None:
        super().__init__()
        if not path.is_file():
            raise InputError(f"video {path}: no such file")
        self.path = path
        self._fps = fps
        with self._open() as container:
            stream = container.streams.video[0]
            self.count = stream.frames or None
            rate = fps or stream.average_rate
            self.fps = float(rate) if rate else None

    def _read(self, keep: Callable[[int], bool], losses: Losses) -> Iterator[SourceFrame]:
        with self._open() as container:
            container.streams.video[0].thread_type = "AUTO"
            for index, picture in enumerate(self._pictures(container, losses)):
                if picture is None or not keep(index):
                    continue
                recorded_ns = self._recorded_ns(picture, index)
                stamp_ns = recorded_ns if self._fps is None else round(index * NS_PER_S / self._fps)
                rgb = np.ascontiguousarray(picture.to_ndarray(format="rgb24"))
                yield SourceFrame(Frame(rgb, stamp_ns), str(recorded_ns), index=index)

    def _pictures(self, container: av.container.InputContainer, losses: Losses) -> Iterator[av.VideoFrame | None]:
        """Yield the decoded pictures, and None in the place of one that cannot be decoded."""
        packets = container.demux(video=0)
        last_s = 0.0
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                losses.add(f"video {self.path}: ends in damaged data ({error.strerror})", f"after {last_s:.3f} s")
                return
            if packet is None:
                return
            if packet.pts is not None and packet.time_base is not None:
                last_s = float(packet.pts * packet.time_base)
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                losses.add(f"video {self.path}: a frame cannot be decoded ({error.strerror})", f"at {last_s:.3f} s")
                yield None

    def _files(self) -> Iterable[Path]:
        return [self.path]

    def _open(self) -> av.container.InputContainer:
        try:
            container = av.open(str(self.path))
        except av.FFmpegError as error:
            raise InputError(f"video {self.path}: not a video that FFmpeg reads ({error})") from error
        if not container.streams.video:
            container.close()
            raise InputError(f"video {self.path}: holds no video stream")
        return container

    def _recorded_ns(self, picture: av.VideoFrame, index: int) -> int:
        if picture.pts is not None and picture.time_base is not None:
            return round(picture.pts * picture.time_base * NS_PER_S)
        if self._fps is None:
            raise InputError(f"video {self.path}: frame {index} has no time stamp; say its rate with --fps")
        return round(index * NS_PER_S / self._fps)
