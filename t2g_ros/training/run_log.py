"""The figures of a run as they come: `train.csv`, TensorBoard, and the progress bar."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tensorboardX import FileWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tqdm import tqdm

SHOWN = 4
"""Parts of the loss that the progress bar has room for."""


class RunLog:
    """Writes `train.csv` (step, name, value) and TensorBoard's events; a resumed run drops what came after its start.

    Args:
        folder: of the run; None logs nothing, as on all processes but the first.
        start: steps done before.
        steps: of the whole run.
    """

    def __init__(self, folder: Path | None, start: int, steps: int) -> None:
        self.start, self.steps = start, steps
        self.progress = tqdm(
            range(start, steps), "train", initial=start, total=steps, disable=True if folder is None else None
        )
        self._events: FileWriter | None = None
        self._file = None
        if folder is not None:
            rows = _rows_until(folder / "train.csv", start) if start else []
            self._file = (folder / "train.csv").open("w", newline="")
            self._table = csv.writer(self._file)
            self._table.writerows([["step", "name", "value"], *rows])
            self._events = FileWriter(str(folder / "tensorboard"))
            # What TensorBoard needs to hide the steps that a killed run had done after its checkpoint.
            self._events.add_event(Event(step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def __iter__(self) -> Iterator[int]:
        """The steps that are left, under the progress bar."""
        return iter(self.progress)

    def add(self, step: int, figures: dict[str, float]) -> None:
        """Take in figures of one step."""
        if self._file is None or self._events is None:
            return
        for name, value in figures.items():
            self._table.writerow([step, name, f"{value:.6g}"])
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._events.add_summary(Summary(value=values), step)

    def show(self, loss: float, parts: dict[str, float]) -> None:
        """Write the loss beside the progress bar."""
        first = list(parts.items())[:SHOWN]
        self.progress.set_postfix(loss=f"{loss:.3f}", **{name[:3]: f"{value:.2f}" for name, value in first})

    def say(self, text: str) -> None:
        """Print a line above the progress bar."""
        if self._file is not None:
            tqdm.write(text)

    def picture(self, step: int, name: str, rgb: np.ndarray) -> None:
        """Take in an (H, W, 3) uint8 RGB picture for TensorBoard."""
        if self._events is None:
            return
        png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
        image = Summary.Image(height=rgb.shape[0], width=rgb.shape[1], colorspace=3, encoded_image_string=png)
        self._events.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def flush(self) -> None:
        """Make everything so far readable."""
        if self._file is not None and self._events is not None:
            self._file.flush()
            self._events.flush()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.close()
        if self._file is not None and self._events is not None:
            self._file.close()
            self._events.close()


def _rows_until(path: Path, step: int) -> list[list[str]]:
    """The rows of an earlier log up to a step."""
    if not path.exists():
        return []
    with path.open(newline="") as old:
        return [row for row in csv.reader(old) if row and row[0].isdigit() and int(row[0]) <= step]
