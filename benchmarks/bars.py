"""The bars that the model which ships has to clear: each figure, and whether it is met.

Run: `python benchmarks/bars.py [--model M] [--precision P] [--json FILE] [--quick]`. Needs ../shared/data.

Everything is measured by `t2g evaluate`: camvid/val as a 15 Hz stream, at strides, jittered and with dropped frames, by
the memory and by its own network frame by frame and averaged over time, with Farneback flow; the same in all weather;
kitti_sem 120-149 as stills; rendered drives of seeds that no training draws.

`--quick`, for a look during training, takes of camvid/val strides 1 and 3 only, of the weather severity 3 only, and two
seconds of one rendered drive instead of four of three.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from real_drives import CAMVID, DATA, evaluate

from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.shipped import resolve_model
from t2g_ros.training.synthetic import STYLES, Drive
from t2g_ros.training.synthetic.clip import write_clip

UNSEEN_SEEDS = (52, 7000, 7001)
"""Training draws its seeds from 1000 to 1999."""
RENDERED_HZ, RENDERED_S, RENDERED_SIZE = 5, 4, (320, 640)
HELD_OUT = slice(120, 150)
"""Of kitti_sem; training takes those before."""
STILLS_FPS = "0.1"
"""So far apart that each is a clip of its own."""
STREAM = ["--baselines", "--flow", "farneback", "--no-overlay"]
RATES = ["--strides", "1,2,3,5,10", "--jitter", "3", "--drop", "0.2"]
FLOW_AVERAGES = ("flow_ema_0.5", "flow_ema_0.8")

Metrics = dict[str, Any]
"""The contents of a metrics.json."""


@dataclass(frozen=True)
class Bar:
    """One figure and what it has to reach."""

    on: str
    what: str
    figure: float
    relation: str = ">="
    """`>=`, `<=`, `>` or `<`."""
    bar: float | None = None
    """None where the figure is only told."""

    @property
    def met(self) -> bool | None:
        """Whether the figure clears the bar, None without one."""
        if self.bar is None:
            return None
        above, below = self.figure > self.bar, self.figure < self.bar
        return {">=": not below, "<=": not above, ">": above, "<": below}[self.relation]


def bars_of(measured: dict[str, Metrics]) -> Iterator[Bar]:
    """The bars on what was measured, by the names of `measure`."""
    rows = {(row["mode"], row["condition"]): row for row in measured["camvid"]["rows"]}
    memory = rows["memory", "stride 1"]
    for what, key, relation, limit in (
        ("mIoU", "miou", ">=", 75.0),
        ("flicker, label-stable", "flicker_stable", "<=", 2.3),
        ("flicker, compensated", "flicker_compensated", "<=", 2.5),
        ("flicker, raw", "flicker", "<=", 5.0),
        ("mVC8", "mvc8", ">=", 95.0),
        ("mVC16", "mvc16", ">=", 94.5),
    ):
        yield Bar("camvid/val, 15 Hz", what, memory[key], relation, limit)
    for mode in FLOW_AVERAGES:
        other = rows[mode, "stride 1"]
        for what, key, relation in (
            ("mIoU", "miou", ">"),
            ("mVC8", "mvc8", ">"),
            ("mVC16", "mvc16", ">"),
            ("flicker, label-stable", "flicker_stable", "<"),
        ):
            yield Bar(f"against {mode}", what, memory[key], relation, other[key])
        times = (row["latency_ms"]["total"]["p50"] for row in (memory, other))
        yield Bar(f"against {mode}", "ms per frame", next(times), "<", next(times))
    for (mode, condition), row in rows.items():
        if mode == "memory" and condition != "stride 1":
            yield Bar(f"camvid/val, {condition}", "mIoU lost against stride 1", row["miou_drop"], "<=", 1.0)
    yield Bar("kitti_sem 120-149", "mIoU of 19 classes", _miou(measured["kitti"]), ">=", 45.0)
    if "kitti_unseen" in measured:
        own, single = (_miou(measured[name]) for name in ("kitti_unseen", "kitti_unseen_single_frame"))
        yield Bar("kitti_sem, trained without it", "mIoU of 11 classes", own, ">", single)
    (weather,) = measured["weather"]["robustness"]
    yield Bar("camvid/val, all weather", "mIoU, % of the clean", weather["share_of_clean"], ">=", 80.0)
    yield Bar("camvid/val, all weather", "mIoU", weather["miou"])
    for style in STYLES:
        bar = 60.0 if style in ("night", "rain", "fog") else None
        yield Bar(f"rendered drives, {style}", "mIoU", _miou(measured[style]), ">=", bar)
    for name in ("camvid", "kitti"):
        if f"{name}_open" in measured:
            yield Bar(f"open weights, {name}", "mIoU", _miou(measured[f"{name}_open"]))


def measure(args: argparse.Namespace, out: Path) -> dict[str, Metrics]:
    """Evaluate the models on everything, reports under `out`."""
    engine = ["--runtime", args.runtime, "--precision", args.precision, "--threads", str(args.threads)]

    def run(name: str, recording: list[str], model: str = args.model) -> Metrics:
        return evaluate(out / name, *recording, "--model", model, *engine)

    kitti = ["--label-space", "cityscapes19", "--fps", STILLS_FPS, "--no-overlay"]
    held_out = ["--frames", str(stills(out / "stills", HELD_OUT)), *kitti]
    measured = {
        "camvid": run("camvid", [*CAMVID, *STREAM, *(["--strides", "1,3"] if args.quick else RATES)]),
        "weather": run(
            "weather", [*CAMVID, "--corruptions", "all", "--severities", "3" if args.quick else "1-5", "--no-overlay"]
        ),
        "kitti": run("kitti", held_out),
    }
    for style in STYLES:
        measured[style] = run(style, ["--frames", *rendered(out / "drives", style, args.quick), "--no-overlay"])
    if args.without_kitti:
        every = ["--frames", str(DATA / "kitti_sem"), *kitti, "--classes", "camvid11"]
        for name, model in zip(("kitti_unseen", "kitti_unseen_single_frame"), args.without_kitti, strict=True):
            measured[name] = run(name, every, model)
    if args.open:
        measured["camvid_open"] = run("camvid_open", [*CAMVID, "--flow", "farneback", "--no-overlay"], args.open)
        measured["kitti_open"] = run("kitti_open", held_out, args.open)
    return measured


def stills(folder: Path, part: slice) -> Path:
    """Link a part of kitti_sem into a folder of its own."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in sorted((DATA / "kitti_sem" / kind).iterdir())[part]:
            link = folder / kind / path.name
            if not link.is_symlink():
                link.symlink_to(path)
    return folder


def rendered(folder: Path, style: str, quick: bool) -> list[str]:
    """Render drives of a style, where they do not lie there already; returns their folders."""
    seeds, seconds = (UNSEEN_SEEDS[:1], RENDERED_S // 2) if quick else (UNSEEN_SEEDS, RENDERED_S)
    drives = [folder / f"{style}_{seed}_{seconds}s" for seed in seeds]
    for seed, path in zip(seeds, drives, strict=True):
        if not (path / "clip.yaml").is_file():
            write_clip(path, Drive(seed, style, size=RENDERED_SIZE), RENDERED_HZ, RENDERED_HZ * seconds)
    return [str(path) for path in drives]


def size_bars(model: str) -> Iterator[Bar]:
    """What the weights may take."""
    weights = resolve_model(model)
    parameters = sum(p.numel() for p in load_model(weights).parameters())
    yield Bar("weights", "million parameters", parameters / 1e6, "<=", 6.0)
    yield Bar("weights", "MB", weights.stat().st_size / 1e6, "<=", 25.0)


def as_table(bars: Sequence[Bar]) -> str:
    """The bars as a Markdown table."""
    lines = ["| on | what | figure | bar | met |", "|---|---|---|---|---|"]
    for each in bars:
        bar = "" if each.bar is None else f"{each.relation} {each.bar:.4g}"
        met = {None: "", True: "yes", False: "**no**"}[each.met]
        lines.append(f"| {each.on} | {each.what} | {each.figure:.2f} | {bar} | {met} |")
    return "\n".join(lines)


def stream_table(metrics: Metrics) -> str:
    """Every mode on camvid/val at stride 1, and the ground truth itself."""
    keys = ("miou", "flicker", "flicker_compensated", "flicker_stable", "mvc8", "mvc16")
    lines = ["| mode | mIoU | raw | compensated | label-stable | mVC8 | mVC16 | ms p50 |", "|---" * 8 + "|"]
    rows = [row for row in metrics["rows"] if row["condition"] == "stride 1"]
    for row in rows:
        figures = [f"{row[key]:.2f}" for key in keys]
        lines.append(f"| {' | '.join([row['mode'], *figures, format(row['latency_ms']['total']['p50'], '.1f')])} |")
    truth = rows[0]
    of_truth = [f"{truth[key]:.2f}" for key in ("truth_flicker", "truth_flicker_compensated")]
    lines.append(f"| {' | '.join(['ground truth', '', *of_truth, '0', '', '', ''])} |")
    return "\n".join(lines)


def _miou(metrics: Metrics) -> float:
    return float(metrics["rows"][0]["miou"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="t2g_tiny")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--without-kitti", nargs=2, metavar=("M", "SINGLE"), help="trained without KITTI: the method, a single frame's"
    )
    parser.add_argument("--open", metavar="M", help="trained on rendered drives alone, told beside")
    parser.add_argument("--out", type=Path, help="folder to keep the reports in")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    with TemporaryDirectory() as scratch:
        measured = measure(args, args.out or Path(scratch))
    bars = [*size_bars(args.model), *bars_of(measured)]
    print(as_table(bars), stream_table(measured["camvid"]), sep="\n\n")
    judged = [bar.met for bar in bars if bar.met is not None]
    print(f"\n{sum(judged)} of {len(judged)} bars met" + (" (quick)" if args.quick else ""))
    if args.json:
        first = measured["camvid"]
        results = {
            "quick": args.quick,
            "machine": first["machine"],
            "versions": first["versions"],
            "bars": [asdict(bar) | {"met": bar.met} for bar in bars],
            "evaluations": {name: each | {"timelines": []} for name, each in measured.items()},
        }
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
