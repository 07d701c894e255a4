"""How the cost of a frame grows with resolution, clip length and number of cameras, with the exponent of each.

Run on an idle machine: `python benchmarks/scaling.py [--model M] [--runtime R] [--precision P] [--json FILE]`.

All points of a series take turns. The exponent b of cost = a * size^b is fitted by least squares on the logarithms:
1 is proportional, 0 does not depend. Resolution counts in pixels of the network's input. Of several cameras,
which share an engine, the cost is that of one frame of each, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from inputs import Input, input_frames
from measure import Task, arguments, as_table, described, exponent, image_size, medians_ms, size_text, to_the_end, write

from t2g_ros.runtimes import Runtime, load_runtime, runtimes_for

IMAGES, CAMERA_SIZE = 8, (720, 960)
PARTS = ("encode", "decode", "frame")


def tasks_of(runtimes: Sequence[Runtime], images: Input) -> dict[str, Task]:
    """The `PARTS` of a frame of each of the streams, one after the other."""
    frames, slots = cycle(images.resized(runtimes[0].input_size)), runtimes[0].slots
    offsets, valid = np.linspace(-1, 0, slots, dtype=np.float32), np.ones(slots, np.float32)

    def encode(runtime: Runtime) -> None:
        runtime.encode(next(frames), slots - 1)

    def decode(runtime: Runtime) -> None:
        runtime.decode(slots - 1, offsets, valid)

    def frame(runtime: Runtime) -> None:
        encode(runtime)
        decode(runtime)

    def of_each(part: Callable[[Runtime], None]) -> Task:
        def run() -> None:
            for runtime in runtimes:
                part(runtime)

        return to_the_end(runtimes[0], run)

    return {name: of_each(part) for name, part in zip(PARTS, (encode, decode, frame), strict=True)}


def series(points: dict[int, Sequence[Runtime]], images: Input, rounds: int, repeats: int) -> dict[str, Any]:
    """Medians at each point, and the exponents.

    Args:
        points: size -> the streams that run there.
        images: what they run on.
        rounds: as of `medians_ms`.
        repeats: as of `medians_ms`.
    """
    tasks = {(size, part): task for size, engines in points.items() for part, task in tasks_of(engines, images).items()}
    times = medians_ms(tasks, rounds, repeats)
    rows: list[dict[str, Any]] = [
        {
            "size": size,
            **{f"{part}_ms": times[size, part] for part in PARTS},
            "input_size": size_text(engines[0].input_size),
            "memory_mib": sum(engine.memory_bytes for engine in engines) / 2**20,
        }
        for size, engines in points.items()
    ]
    sizes = list(points)
    return {
        "exponents": {part: exponent(sizes, [times[size, part] for size in sizes]) for part in PARTS},
        "memory_exponent": exponent(sizes, [row["memory_mib"] for row in rows]),
        "rows": rows,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    sizes = [(256, 512), (384, 768), (512, 1024), (768, 1536)]
    parser.add_argument("--sizes", type=image_size, nargs="+", default=sizes, metavar="WxH")
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 2, 3, 5, 7, 9], help="clip lengths in frames")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 4], help="numbers of cameras")
    args = parser.parse_args(argv)
    engine = {"runtime": args.runtime, "precision": args.precision, "threads": args.threads}
    images = input_frames(IMAGES, CAMERA_SIZE)

    def measured(points: dict[int, Sequence[Runtime]]) -> dict[str, Any]:
        return series(points, images, args.rounds, args.repeats)

    # One series at a time: the engines of the others are gone by then.
    by = {
        "pixels": measured({h * w: [load_runtime(args.model, **engine, input_size=(h, w))] for h, w in args.sizes}),
        "clip_frames": measured({clip: [load_runtime(args.model, **engine, clip_frames=clip)] for clip in args.clips}),
    }
    cameras = runtimes_for(load_runtime(args.model, **engine), max(args.cameras))
    by["cameras"] = measured({number: cameras[:number] for number in args.cameras})
    for name, found in by.items():
        print(as_table(found["rows"], ("size", "input_size", *(f"{part}_ms" for part in PARTS), "memory_mib")))
        told = (f"{part} {b:.2f}" for part, b in found["exponents"].items() if b is not None)
        print(f"exponents by {name}: {', '.join(told) or 'none of one point'}\n")
    exponents = {name: found["exponents"] for name, found in by.items()}
    results = {"exponents": exponents, "engine": described(cameras[0]), "input": images.described(), "series": by}
    write(args.json, "scaling", results)


if __name__ == "__main__":
    main()
