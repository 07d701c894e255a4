"""What each part of the method buys on roads that training never saw: one source, tested on the others without tuning.

Run: `python benchmarks/ablation.py [--steps N] [--more N] [--sources S ...] [--seeds N] [--out DIR] [--table FILE]`.
Needs ../shared/data. Hours in all; a killed run goes on where it was, and what is finished is not done again. The table
is made of all that is finished.

Of every source a network without memory is trained first, frame by frame from ImageNet weights. Every row and seed
goes on from it, the row without memory too, so that rows differ by what they add and not by where they started. Each
row adds one part to the row before it. A row without training of its own takes the weights of the row named.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bars import HELD_OUT, STILLS_FPS, stills
from real_drives import CAMVID, DATA, evaluate
from rendered_drives import write_drives

from t2g_ros.training.synthetic import Drive
from t2g_ros.training.synthetic.clip import write_clip
from t2g_ros.training.trainer import main as train

CONFIG = Path(__file__).resolve().parents[1] / "config" / "train" / "ablation.yaml"
STRIDES = (1, 3, 10)
RENDERED_HZ, RENDERED_S, RENDERED_SIZE, RENDERED_SEED = 15, 4, (320, 640), 7000
DAY_DRIVES, DAY_S = range(1000, 1120), 1.0
"""Seeds and length of the drives that are rendered once for all rows of the source `day`, at `RENDERED_HZ`."""
START = Path("0", "start")
"""Folder of the network that all rows of a source go on from."""


@dataclass(frozen=True)
class Row:
    """One line of the ablation."""

    name: str
    mode: str = "memory"
    """Row of `t2g evaluate` that counts."""
    overrides: dict[str, Any] = field(default_factory=dict)
    weights_of: str | None = None
    """Row whose weights are evaluated; None trains its own."""


NO_MEMORY: dict[str, Any] = {
    "frames_per_clip": 1,
    "clips_per_step": 9,
    "model.pixel_memory": False,
    "model.stability_queries": False,
    "consistency_weight": 0.0,
    "stride_consistency_weight": 0.0,
    "memory_drop": 0.0,
}
MEMORY = NO_MEMORY | {"frames_per_clip": 3, "clips_per_step": 3, "fixed_stride": True}
RANDOM_STRIDES = MEMORY | {"fixed_stride": False, "memory_drop": 0.3, "stride_consistency_weight": 0.5}
CONSISTENCY = RANDOM_STRIDES | {"consistency_weight": 2.0}
QUERIES = CONSISTENCY | {"model.stability_queries": True}
PIXELS = QUERIES | {"model.pixel_memory": True}

ROWS = (
    Row("single frame", "single_frame", NO_MEMORY),
    Row("+ EMA 0.5", "ema_0.5", weights_of="single frame"),
    Row("+ flow-warped EMA 0.8", "flow_ema_0.8", weights_of="single frame"),
    Row("memory, fixed stride", overrides=MEMORY),
    Row("+ random strides", overrides=RANDOM_STRIDES),
    Row("+ consistency loss", overrides=CONSISTENCY),
    Row("+ stability queries", overrides=QUERIES),
    Row("+ pixel memory", overrides=PIXELS),
)
HEADLINE = ("single frame", "+ pixel memory")
"""Rows that are trained with every seed; the others with the first."""


def camvid(fixed: bool, out: Path) -> list[dict[str, Any]]:
    where = {"path": str(DATA / "camvid" / "train"), "labels": "camvid11"}
    # Labels lie a second apart in the video, so most motion is made up.
    video = {"kind": "video", "weight": 1, "strides": [1] if fixed else [1, 2]}
    return [video | where, {"kind": "stills", "weight": 2, **where} | _strides(fixed)]


def kitti(fixed: bool, out: Path) -> list[dict[str, Any]]:
    where = {"path": str(DATA / "kitti_sem"), "labels": "cityscapes19", "keep": [0, HELD_OUT.start]}
    return [{"kind": "stills", "weight": 1, **where} | _strides(fixed)]


def day(fixed: bool, out: Path) -> list[dict[str, Any]]:
    where = {"path": str((out / "day_drives").resolve()), "labels": "cityscapes19", "video_fps": RENDERED_HZ}
    return [{"kind": "video", "weight": 1, **where} | ({"strides": [3]} if fixed else {})]


def _strides(fixed: bool) -> dict[str, Any]:
    """In 1/30 s; without them a source draws its own at random."""
    return {"strides": [5]} if fixed else {}


SOURCES = {"camvid": camvid, "kitti": kitti, "day": day}


def targets(source: str, scratch: Path) -> dict[str, list[str]]:
    """Name -> arguments of `t2g evaluate` of what a source's models are tested on."""
    video = [*CAMVID, "--flow", "farneback", "--strides", ",".join(map(str, STRIDES))]
    if source == "kitti":
        return {"camvid/val": video}
    if source == "camvid":
        held_out = ["--frames", str(stills(scratch / "stills", HELD_OUT)), "--label-space", "cityscapes19"]
        return {"kitti_sem 120-149": [*held_out, "--fps", STILLS_FPS, "--classes", "camvid11"], "camvid/val": video}
    return {style: [*rendered(scratch, style), *video[len(CAMVID) :]] for style in ("dusk", "night", "rain", "fog")}


def rendered(folder: Path, style: str) -> list[str]:
    """Render a drive of a seed that no training draws, where it does not lie there already."""
    path = folder / f"{style}_{RENDERED_SEED}"
    if not (path / "clip.yaml").is_file():
        write_clip(path, Drive(RENDERED_SEED, style, size=RENDERED_SIZE), RENDERED_HZ, RENDERED_HZ * RENDERED_S)
    return ["--frames", str(path)]


def overrides(row: Row, source: str, seed: int, args: argparse.Namespace) -> list[str]:
    """The `key=value` arguments of a row's training."""
    start = args.out / source / START / "t2g_tiny.safetensors"
    return _arguments(row.overrides | {"init": str(start.resolve()), "steps": args.more}, source, seed, args.out)


def start_overrides(source: str, args: argparse.Namespace) -> list[str]:
    """The `key=value` arguments of the training that the rows go on from, at the higher rate of a first phase."""
    values = NO_MEMORY | {"steps": args.steps, "lr": 1e-3, "encoder_lr": 3e-4}
    return _arguments(values, source, 0, args.out)


def _arguments(values: dict[str, Any], source: str, seed: int, out: Path) -> list[str]:
    values = dict(values)
    sources = SOURCES[source](values.pop("fixed_stride", False), out)
    return [f"{key}={json.dumps(value)}" for key, value in (values | {"seed": seed, "sources": sources}).items()]


def run(row: Row, source: str, seed: int, args: argparse.Namespace) -> None:
    """Train a row, if it is not, and evaluate it on every target of the source."""
    if source == "day":
        write_drives(args.out / "day_drives", "day", DAY_DRIVES, RENDERED_HZ, DAY_S, RENDERED_SIZE)
    train(CONFIG, start_overrides(source, args), args.out / source / START)
    folder = args.out / source / str(seed) / row.name.replace(" ", "_")
    train(CONFIG, overrides(row, source, seed, args), folder)
    taking = [row.mode, *(other.mode for other in ROWS if other.weights_of == row.name and seed == 0)]
    for target, arguments in targets(source, args.out / "targets").items():
        result = folder / f"{target.replace('/', '_').replace(' ', '_')}.json"
        if result.is_file():
            continue
        still = STILLS_FPS in arguments
        baselines = ["--baselines"] if len(taking) > 1 and not still else []
        model = str(folder / "t2g_tiny.safetensors")
        metrics = evaluate(folder / "report", *arguments, *baselines, "--model", model, "--no-overlay")
        kept = [r for r in metrics["rows"] if still or r["mode"] in {"memory", *taking}]
        result.write_text(json.dumps({"target": target, "rows": kept}))


def results(row: Row, source: str, out: Path) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """(target, seed, rows by stride) of all that is finished."""
    owner = row.weights_of or row.name
    for seed in sorted((out / source).glob("*")):
        for file in sorted((seed / owner.replace(" ", "_")).glob("*.json")):
            found = json.loads(file.read_text())
            if "target" in found:
                modes = {r["mode"] for r in found["rows"]}
                mode = row.mode if row.mode in modes else "memory" if row.weights_of is None else None
                yield found["target"], int(seed.name), [r for r in found["rows"] if r["mode"] == mode]


COLUMNS = {"miou": "mIoU", "mvc8": "mVC8", "flicker": "raw", "flicker_compensated": "comp.", "flicker_stable": "stable"}


def table(source: str, out: Path) -> str:
    """One Markdown table per target: rows by parts, cells the figures at strides 1 / 3 / 10."""
    by_target: dict[str, dict[str, list[list[dict[str, Any]]]]] = {}
    for row in ROWS:
        for target, _, rows in results(row, source, out):
            if rows:
                by_target.setdefault(target, {}).setdefault(row.name, []).append(rows)
    parts = []
    for target, lines in by_target.items():
        text = [f"### {source} -> {target}", "", f"| | seeds | {' | '.join(COLUMNS.values())} |", "|---" * 7 + "|"]
        for name, seeds in lines.items():
            cells = [" / ".join(_cell(seeds, stride, key) for stride in range(len(seeds[0]))) for key in COLUMNS]
            text.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} |")
        parts.append("\n".join(text))
    return "\n\n".join(parts)


def _cell(seeds: list[list[dict[str, Any]]], stride: int, key: str) -> str:
    values = [rows[stride][key] for rows in seeds if rows[stride].get(key) is not None]
    if not values:
        return "-"
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800, help="of the network that the rows go on from")
    parser.add_argument("--more", type=int, default=300, help="of each row")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--seeds", type=int, default=3, help="of the headline pair; the other rows take one")
    parser.add_argument("--out", type=Path, default=Path("out/ablation"))
    parser.add_argument("--table", type=Path, help="Markdown file to write")
    args = parser.parse_args()
    for seed in range(args.seeds):
        for source in args.sources:
            for row in ROWS:
                if row.weights_of is None and (seed == 0 or row.name in HEADLINE):
                    run(row, source, seed, args)
    text = "\n\n".join(filter(None, (table(source, args.out) for source in args.sources)))
    print(text)
    if args.table:
        args.table.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
