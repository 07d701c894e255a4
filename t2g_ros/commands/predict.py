"""`t2g predict`: one lossless PNG of class ids per recorded frame."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2g_ros import __version__
from t2g_ros.commands.arguments import (
    add_model_arguments,
    add_source_arguments,
    positive_int,
    runtime_from,
    source_from,
    tell_losses,
)
from t2g_ros.errors import InputError, T2GError

if TYPE_CHECKING:
    from t2g_ros.runtimes import Runtime
    from t2g_ros.sources import Source


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "predict",
        help="segment recorded frames into PNG files",
        description="Writes one PNG of class ids per frame at the frame's own resolution, with labels.json (what the "
        "ids mean) and run.json (how they were made). Files of the same names are replaced.",
    )
    add_source_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--every", type=positive_int, default=1, metavar="N", help="take only every Nth frame")
    add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Segment the whole source and write the masks and the record of the run."""
    source = source_from(args)
    runtime = runtime_from(args)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "labels.json").write_text(json.dumps(runtime.labels.to_json(), indent=2) + "\n")
        record = _record(source, runtime, args.every) | write_masks(source, runtime, args.out, every=args.every)
        (args.out / "run.json").write_text(json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise T2GError(f"output {args.out}: cannot be written ({error})") from error
    tell_losses(source)
    if record["repeated"]:
        print(
            f"t2g: {record['repeated']} frames repeat the stamp of the frame before and were left out", file=sys.stderr
        )
    print(f"{record['frames']} masks in {args.out}")
    return 0


def write_masks(source: Source, runtime: Runtime, out: Path, *, every: int = 1) -> dict[str, Any]:
    """Segment every Nth frame as a stream and write `out/<name>.png`.

    The frames keep their stamps, so the memory sees the stride that remains. One that repeats the stamp of the frame
    before is left out; one that repeats the name of an earlier frame (a looped recording) is written as
    `<name>_<index>.png`.

    Returns:
        `frames`, `repeated`, how many were left out, `resets` by cause, and `stage_ms`, median and 95th percentile
        by stage and in total.

    Raises:
        InputError: a frame cannot be decoded or does not continue the stream.
        T2GError: a file cannot be written.
    """
    import numpy as np
    from tqdm import tqdm

    from t2g_ros.inference.segmenter import StreamSegmenter
    from t2g_ros.sources.images import write_image

    segmenter = StreamSegmenter(runtime)
    stages: list[dict[str, float]] = []
    names: set[str] = set()
    repeated = 0
    last_ns: int | None = None
    total = None if source.count is None else -(-source.count // every)
    wanted = source.read(lambda index: index % every == 0)
    for item in tqdm(wanted, total=total, desc="predict", unit="frame", disable=None):
        if item.frame.stamp_ns == last_ns:
            repeated += 1
            continue
        last_ns = item.frame.stamp_ns
        try:
            segmentation = segmenter.step(item.frame)
        except InputError as error:
            raise InputError(f"{source.path}, frame {item.name}: {error}") from error
        assert segmentation is not None  # no lag, so every frame is answered at once
        name = item.name
        while name in names:
            name += f"_{item.index}"
        names.add(name)
        write_image(out / f"{name}.png", segmentation.labels)
        stages.append(segmentation.stage_ms)
    if not stages:
        raise InputError(f"{source.path}: holds no frame")
    times = {stage: np.array([s[stage] for s in stages]) for stage in stages[0]}
    times["total"] = np.sum(list(times.values()), axis=0)
    stage_ms = {
        stage: {"median": round(float(np.median(t)), 3), "p95": round(float(np.percentile(t, 95)), 3)}
        for stage, t in times.items()
    }
    return {"frames": len(stages), "repeated": repeated, "resets": dict(segmenter.reset_counts), "stage_ms": stage_ms}


def _record(source: Source, runtime: Runtime, every: int) -> dict[str, Any]:
    return {
        "t2g_ros": __version__,
        "model": runtime.model_name,
        "runtime": runtime.name,
        "precision": runtime.precision,
        "device": runtime.device,
        "input_size": list(runtime.input_size),
        "input": str(source.path),
        "input_sha256": source.content_hash(),
        "fps": source.fps,
        "every": every,
    }
