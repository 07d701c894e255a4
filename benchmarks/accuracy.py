"""Accuracy and flicker of a model on what was held out; the figures of the model card.

Run: `python benchmarks/accuracy.py [--model M] [--runtime R]`. Needs ../shared/data.
camvid/val as a 15 Hz stream, with the memory and without; kitti_sem 120-149 as stills; rendered drives of unseen seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.evaluation.metrics.flicker import flicker
from t2g_ros.evaluation.metrics.flow import compensated_flicker, farneback
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.labels import CITYSCAPES19, LabelSpace, remap_table, space
from t2g_ros.runtimes import load_runtime
from t2g_ros.sources import open_source
from t2g_ros.training.synthetic import STYLES, Drive
from t2g_ros.types import NS_PER_S, Frame

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
UNSEEN_SEEDS = (52, 7000, 7001)
"""Training draws its seeds from 1000 to 1999."""
RENDER_HZ, RENDER_S = 5, 4

Labelled = tuple[Frame, np.ndarray]


def camvid() -> Iterator[Labelled]:
    for item in open_source(frames=DATA / "camvid" / "val", fps=15, label_space="camvid11"):
        assert item.labels is not None
        yield item.frame, item.labels


def kitti() -> Iterator[Labelled]:
    """Stills, each a clip of its own: an hour apart."""
    for i, item in enumerate(open_source(frames=DATA / "kitti_sem", fps=1, label_space="cityscapes19")):
        assert item.labels is not None
        if i >= 120:
            yield Frame(item.frame.rgb, i * 3600 * NS_PER_S), item.labels


def rendered(style: str) -> Iterator[Labelled]:
    for drive, seed in enumerate(UNSEEN_SEEDS):
        camera = Drive(seed, style, size=(320, 640))
        for i in range(RENDER_HZ * RENDER_S):
            rgb, labels = camera.render(i / RENDER_HZ)
            yield Frame(rgb, drive * 3600 * NS_PER_S + round(i / RENDER_HZ * NS_PER_S)), labels


def measure(segmenter: StreamSegmenter, frames: Iterator[Labelled], truth: LabelSpace, *, memory: bool) -> list[float]:
    """mIoU, raw flicker and flow-compensated flicker, all in percent, in the label space of the truth."""
    table = remap_table(segmenter.runtime.labels, truth)
    confusion = ConfusionMatrix(len(truth))
    raw, compensated = [], []
    last: Labelled | None = None
    segmenter.reset("new stream")
    for frame, labels in tqdm(frames, unit="frame", disable=None):
        if not memory:
            segmenter.reset("single frame")
        segmentation = segmenter.step(frame)
        assert segmentation is not None
        mask = np.take(table, segmentation.labels)
        confusion.update(mask, labels)
        if last is not None and frame.stamp_ns - last[0].stamp_ns < NS_PER_S:
            raw.append(flicker(last[1], mask))
            compensated.append(compensated_flicker(last[1], mask, farneback(last[0].rgb, frame.rgb)))
        last = frame, mask
    means = [float(np.mean(values)) if values else float("nan") for values in (raw, compensated)]
    return [100 * value for value in (confusion.miou(), *means)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="t2g_tiny")
    parser.add_argument("--runtime", default="auto")
    args = parser.parse_args()
    runtime = load_runtime(args.model, runtime=args.runtime)
    print(f"{runtime.model_name}, {runtime.name} {runtime.precision} on {runtime.device}, {runtime.input_size[::-1]}\n")
    print("| on | mIoU | flicker raw | compensated |\n|---|---|---|---|")

    def row(name: str, frames: Iterator[Labelled], truth: LabelSpace, *, memory: bool = True) -> None:
        figures = measure(StreamSegmenter(runtime), frames, truth, memory=memory)
        print(f"| {name} | " + " | ".join("-" if np.isnan(f) else f"{f:.2f}" for f in figures) + " |", flush=True)

    row("camvid/val at 15 Hz", camvid(), space("camvid11"))
    row("camvid/val, each frame alone", camvid(), space("camvid11"), memory=False)
    row("kitti_sem 120-149, stills", kitti(), CITYSCAPES19)
    for style in STYLES:
        row(f"rendered drives, {style}", rendered(style), CITYSCAPES19)


if __name__ == "__main__":
    main()
