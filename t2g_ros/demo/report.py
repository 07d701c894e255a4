"""What a recorded run shows: masks matched to the played frames by stamp, figures, and the overlay video."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from tqdm import tqdm

from t2g_ros.demo.recorder import MASK, STABILITY, Recorder
from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.evaluation.metrics.flicker import flicker
from t2g_ros.evaluation.outputs.overlay_video import OverlayVideo
from t2g_ros.labels import LabelSpace, remap_table, space
from t2g_ros.sources import Source
from t2g_ros.types import NS_PER_S


@dataclass(frozen=True)
class RecordedMask:
    """One mask of the bag with the stability map of the same stamp."""

    stamp_ns: int
    labels: NDArray[np.uint8]
    stability: NDArray[np.uint8] | None


def read_frame_log(path: Path) -> dict[int, str]:
    """Return stamp -> name of the frames that the camera process played, in order."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {int(row["stamp_ns"]): row["name"] for row in csv.DictReader(file)}


def recorded_masks(bag: Path, mask_topic: str, stability_topic: str) -> Iterator[RecordedMask]:
    """Yield the masks in order of their arrival, each as soon as its stability map, or a later one's, is there."""
    waiting: dict[int, NDArray[np.uint8]] = {}
    early: dict[int, NDArray[np.uint8]] = {}  # stability maps that came before their mask
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic in (mask_topic, stability_topic)]
        for connection, _, data in reader.messages(connections):
            msg: Any = reader.deserialize(data, connection.msgtype)
            stamp_ns = msg.header.stamp.sec * NS_PER_S + msg.header.stamp.nanosec
            (waiting if connection.topic == mask_topic else early)[stamp_ns] = msg.data.reshape(msg.height, msg.width)
            if stamp_ns in waiting and stamp_ns in early:
                for stamp in [s for s in waiting if s <= stamp_ns]:
                    yield RecordedMask(stamp, waiting.pop(stamp), early.pop(stamp, None))
    for stamp, labels in waiting.items():
        yield RecordedMask(stamp, labels, early.get(stamp))


@dataclass
class Figures:
    """Figures over the masks of a run; None where there is nothing to compute them from."""

    flicker_percent: float | None
    """Mean share of the pixels whose label changes from one mask to the next."""
    miou_percent: float | None
    """Mean IoU in the label space of the ground truth."""
    truth_space: str | None


def judge(
    source: Source, names: dict[int, str], masks: Iterator[RecordedMask], space: LabelSpace, video: OverlayVideo
) -> Figures:
    """Walk through frames and masks together, drawing the video on the way.

    Args:
        source: the frames that were played, from the first one.
        names: stamp -> frame name, in the order of playing.
        masks: in order of their stamps.
        space: classes of the masks.
        video: gets one picture per mask.
    """
    truth_space = source.label_space
    table = remap_table(space, truth_space) if truth_space is not None else None
    confusion = ConfusionMatrix(len(truth_space)) if truth_space is not None else None
    changes: list[float] = []
    previous: NDArray[np.uint8] | None = None
    frames = iter(source)
    current = next(frames, None)
    for mask in tqdm(masks, desc="overlay", total=len(names), unit="frame", disable=None):
        name = names.get(mask.stamp_ns)
        while current is not None and name is not None and current.name != name:
            current = next(frames, None)  # a frame without a mask
        if name is None or current is None:
            continue
        video.add(current.frame.rgb, mask.labels, mask.stability)
        if confusion is not None and table is not None and current.labels is not None:
            confusion.update(np.take(table, mask.labels), current.labels)
        if previous is not None and previous.shape == mask.labels.shape:
            changes.append(flicker(previous, mask.labels))
        previous = mask.labels
    judged = confusion is not None and bool(confusion.matrix.any())
    return Figures(
        flicker_percent=100 * float(np.mean(changes)) if changes else None,
        miou_percent=100 * confusion.miou() if confusion is not None and judged else None,
        truth_space=truth_space.name if truth_space is not None and judged else None,
    )


def summarise(out: Path, bag: str, recorder: Recorder, source: Source) -> dict[str, Any]:
    """Write `out/overlay.mp4` and return the summary of the run whose bag is `out/<bag>`.

    Latency is from the stamp of an image, when a camera would have taken it, to the arrival of its mask in another
    process; `stage_ms` is what the node says of its own part. Times are in milliseconds, p50 and p95 over the frames.
    """
    names = read_frame_log(out / "frames.csv")
    stamps = set(names)
    arrived = {stamp: at for stamp, at in recorder.arrivals_ns.items() if stamp in stamps}
    latencies = np.array([at - stamp for stamp, at in arrived.items()]) / 1e6
    model = recorder.model_status()
    labels = space(model["labels"])
    masks = recorded_masks(out / bag, recorder.topics[MASK], recorder.topics[STABILITY])
    with OverlayVideo(out / "overlay.mp4", labels, source.fps or 1.0) as video:
        figures = judge(source, names, masks, labels, video)
    return {
        "input": str(source.path),
        "frames_in": len(names),
        "masks_out": len(recorder.arrivals_ns),
        "dropped": len(stamps) - len(arrived),
        "wrong_stamps": len(recorder.arrivals_ns) - len(arrived) + len(recorder.repeated),
        "latency_ms": percentiles(latencies),
        "stage_ms": recorder.stage_ms(),
        "flicker": rounded(figures.flicker_percent),
        "miou": rounded(figures.miou_percent),
        "miou_label_space": figures.truth_space,
        "units": "flicker and miou in percent, times in milliseconds",
        "model": model["model"],
        "runtime": model["runtime"],
        "precision": model["precision"],
    }


def percentiles(values: NDArray[np.float64]) -> dict[str, float | None]:
    """Median and 95th percentile; None of nothing."""
    if not len(values):
        return {"p50": None, "p95": None}
    return {"p50": round(float(np.median(values)), 2), "p95": round(float(np.percentile(values, 95)), 2)}


def rounded(value: float | None) -> float | None:
    """Two decimals."""
    return None if value is None else round(value, 2)
