"""Where the argmax is taken: accuracy and time of masks whose class scores are raised to strides 4, 2 and 1 before it.

Run on an idle machine: `python benchmarks/argmax.py [--model M] [--recording FOLDER] [--json FILE]`.

The model's scores have stride 4. The network raises them to stride 2, takes the argmax, and the labels are raised to
the image's size by nearest neighbour. Here the same scores of a stream are raised to each stride by one rule, bilinear.
Times are of raising and argmax in OpenVINO, and of raising the labels in OpenCV; strides take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from inputs import CAMVID, FPS
from measure import Task, arguments, as_table, described, medians_ms, write
from numpy.typing import NDArray
from stream import in_openvino
from torch import Tensor, nn
from torch.nn import functional as F

from t2g_ros.evaluation.metrics.confusion import ConfusionMatrix
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.labels import LabelSpace, remap_table, space
from t2g_ros.model.scores import OUTPUT_STRIDE, raised_argmax
from t2g_ros.runtimes import load_runtime
from t2g_ros.sources import open_source

STRIDES = (4, 2, 1)
COLUMNS = ("stride", "miou", "argmax_ms", "to_image_ms", "sum_ms", "ships")


class RaisedArgmax(nn.Module):
    """Labels of (1, K, h, w) scores that are `times` as fine as these."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def forward(self, scores: Tensor) -> Tensor:
        """Return (1, h * times, w * times) uint8."""
        if self.times == 4 // OUTPUT_STRIDE:
            return raised_argmax(scores).to(torch.uint8)  # as the network does it
        if self.times > 1:
            scores = F.interpolate(scores, scale_factor=float(self.times), mode="bilinear", align_corners=False)
        return scores.argmax(dim=1).to(torch.uint8)


class Watched(StreamSegmenter):
    """A segmenter that keeps the scores of its last frame."""

    scores: NDArray[np.float32]

    def _decode(self, reference: int, offsets_s: NDArray[Any], valid: NDArray[Any]) -> tuple[Any, Any]:
        self.scores = self.runtime.decode_scores(reference, offsets_s, valid)
        return super()._decode(reference, offsets_s, valid)


def to_image(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Labels at an image's (height, width), as the node publishes them."""
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def mious(segmenter: Watched, folder: Path, labels_in: LabelSpace) -> dict[int, float]:
    """mIoU in percent over a recording whose labels are in this space, by stride."""
    table = remap_table(segmenter.runtime.labels, labels_in)
    matrices = {stride: ConfusionMatrix(len(labels_in)) for stride in STRIDES}
    with torch.inference_mode():
        for item in open_source(frames=folder, fps=FPS, label_space=labels_in.name):
            segmenter.step(item.frame)
            if item.labels is None:
                continue
            scores = torch.from_numpy(segmenter.scores)[None]
            for stride, matrix in matrices.items():
                found = RaisedArgmax(4 // stride)(scores)[0].numpy()
                matrix.update(table[to_image(found, item.labels.shape)], item.labels)
    return {stride: 100 * matrix.miou() for stride, matrix in matrices.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--recording", type=Path, default=CAMVID, help="folder of frames with labels")
    parser.add_argument("--label-space", default="camvid11", help="of the recording's labels")
    args = parser.parse_args(argv)
    runtime = load_runtime(args.model, runtime=args.runtime, precision=args.precision, threads=args.threads)
    segmenter = Watched(runtime)
    accuracy = mious(segmenter, args.recording, space(args.label_space))
    scores = torch.from_numpy(segmenter.scores)[None]
    source = open_source(frames=args.recording, fps=FPS, label_space=args.label_space)
    size = next(iter(source)).frame.rgb.shape[:2]
    tasks: dict[tuple[int, str], Task] = {}
    for stride in STRIDES:
        raised = RaisedArgmax(4 // stride)
        labels = raised(scores)[0].numpy()
        tasks[stride, "argmax_ms"] = in_openvino(raised, scores, "f32", args.threads)
        tasks[stride, "to_image_ms"] = partial(to_image, labels, size)
    times = medians_ms(tasks, args.rounds, args.repeats)
    rows = []
    for stride in STRIDES:
        parts = {what: times[stride, what] for what in ("argmax_ms", "to_image_ms")}
        row = {"stride": stride, "miou": accuracy[stride], **parts, "sum_ms": sum(parts.values())}
        rows.append(row | {"ships": "yes" if stride == OUTPUT_STRIDE else None})
    print(as_table(rows, COLUMNS))
    recording = {"source": args.recording.name, "sha256": source.content_hash()}
    write(args.json, "argmax", {"engine": described(runtime), "input": recording, "rows": rows})


if __name__ == "__main__":
    main()
