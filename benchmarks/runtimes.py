"""Every engine that loads here, in every precision and at several resolutions: its speed, and whether its masks agree.

Run on an idle machine: `python benchmarks/runtimes.py [--model M] [--sizes WxH ...] [--json FILE]`.

Engines of one resolution take turns. Agreement is the share of the pixels of all masks, of a stream with its memory,
that carry the label of torch in f32, on the network's own output grid. What cannot be loaded has a row with the reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
from inputs import FPS, Input, input_frames
from measure import Task, arguments, as_table, image_size, medians_ms, size_text, to_the_end, write
from numpy.typing import NDArray

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.runtimes import PRECISIONS, RUNTIMES, Runtime, load_runtime
from t2g_ros.types import NS_PER_S, Frame

CAMERA_SIZE = (720, 960)
COLUMNS = ("size", "runtime", "precision", "device", "encode_ms", "decode_ms", "sum_ms", "agreement_percent", "reason")
REFERENCE = ("torch", "f32")


def loaded(name: str, precision: str, size: tuple[int, int], args: argparse.Namespace) -> Runtime | str:
    """The engine, or why there is none."""
    on_cuda = name == "torch" and args.device.startswith("tensorrt")  # a device of ONNX Runtime's alone
    try:
        runtime = load_runtime(
            args.model,
            runtime=name,
            precision=precision,
            device="auto" if on_cuda else args.device,
            input_size=size,
            threads=args.threads,
        )
    except Exception as error:  # whatever an engine raises on a machine that it does not like
        return f"{error}" or type(error).__name__
    if runtime.precision != precision:
        return f"computes in {runtime.precision} instead"
    return runtime


def masks(runtime: Runtime, images: Input) -> NDArray[np.uint8]:
    """(N, h, w) labels of the stream on the network's output grid."""
    segmenter = StreamSegmenter(runtime)
    steps = (segmenter.step(Frame(rgb, k * NS_PER_S // FPS)) for k, rgb in enumerate(images.frames))
    return np.stack([step.model_labels for step in steps if step is not None])


def agreement_percent(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """Share of the pixels with the same label."""
    return 100 * float((found == expected).mean())


def tasks_of(runtime: Runtime, images: Input) -> dict[str, Task]:
    """Encode and decode of one engine."""
    frames, slot = cycle(images.resized(runtime.input_size)), runtime.slots - 1
    offsets, valid = np.linspace(-1, 0, runtime.slots, dtype=np.float32), np.ones(runtime.slots, np.float32)
    tasks: dict[str, Task] = {
        "encode_ms": lambda: runtime.encode(next(frames), slot),
        "decode_ms": lambda: runtime.decode(slot, offsets, valid),
    }
    return {name: to_the_end(runtime, task) for name, task in tasks.items()}


def at_resolution(size: tuple[int, int], images: Input, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per engine and precision."""
    asked = [(name, precision) for name in args.runtimes for precision in args.precisions]
    engines = {pair: loaded(*pair, size, args) for pair in asked}
    running = {pair: engine for pair, engine in engines.items() if not isinstance(engine, str)}
    tasks = {(*pair, name): task for pair, engine in running.items() for name, task in tasks_of(engine, images).items()}
    times = medians_ms(tasks, args.rounds, args.repeats)
    reference = running.get(REFERENCE) or loaded(*REFERENCE, size, args)
    expected = None if isinstance(reference, str) else masks(reference, images)
    rows = []
    for (name, precision), engine in engines.items():
        row: dict[str, Any] = {"size": size_text(size), "runtime": name, "precision": precision}
        if isinstance(engine, str):
            rows.append(row | {"reason": engine})
            continue
        found = {what: times[name, precision, what] for what in ("encode_ms", "decode_ms")}
        row |= {"device": engine.device} | found | {"sum_ms": sum(found.values()), "agreement_percent": None}
        if expected is not None:
            row["agreement_percent"] = agreement_percent(masks(engine, images), expected)
        rows.append(row | {"memory_mib": engine.memory_bytes / 2**20})
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, engine=False)
    names = [name for name in RUNTIMES if name != "auto"]
    precisions = [name for name in PRECISIONS if name != "auto"]
    parser.add_argument("--model", default="t2g_tiny", help="a shipped model's name, or a .safetensors file")
    parser.add_argument("--runtimes", nargs="+", choices=names, default=names)
    parser.add_argument("--precisions", nargs="+", choices=precisions, default=precisions)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda; with onnx also tensorrt")
    parser.add_argument("--threads", type=int, default=0, help="of the engines on a CPU; 0: one per core")
    parser.add_argument("--images", type=int, default=30, help="frames of the stream that is compared")
    parser.add_argument(
        "--sizes", type=image_size, nargs="+", default=[(256, 512), (512, 1024), (768, 1536)], metavar="WxH"
    )
    args = parser.parse_args(argv)
    images = input_frames(args.images, CAMERA_SIZE)
    rows = [row for size in args.sizes for row in at_resolution(size, images, args)]
    print(as_table(rows, COLUMNS))
    write(args.json, "runtimes", {"model": args.model, "input": images.described(), "rows": rows})


if __name__ == "__main__":
    main()
