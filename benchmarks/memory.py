"""Whether memory grows: resident memory and GPU memory of one stream over many frames, measured after a warm-up.

Run: `python benchmarks/memory.py [--frames N] [--model M] [--runtime R] [--precision P] [--json FILE]`. Linux only.
`StreamSegmenter` and `StabilityMonitor`, as in the node; images come from a few frames in a circle, so that nothing but
the stream itself can keep anything.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inputs import FPS, input_frames
from measure import arguments, as_table, described, slope, write
from tqdm import tqdm

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.inference.stability import StabilityMonitor
from t2g_ros.runtimes import load_runtime
from t2g_ros.types import NS_PER_S, Frame

IMAGES, CAMERA_SIZE = 8, (720, 960)
MB = 1e6
COLUMNS = ("memory", "first_mb", "last_mb", "peak_mb", "growth_mb", "slope_mb_per_1000_frames")


def growth(frames: Sequence[int], megabytes: Sequence[float]) -> dict[str, float | None]:
    """How memory changed from the first sample to the last, and its slope by least squares; None of fewer than two."""
    if len(frames) < 2:
        return {"growth_mb": None, "slope_mb_per_1000_frames": None}
    return {
        "growth_mb": megabytes[-1] - megabytes[0],
        "slope_mb_per_1000_frames": 1000 * slope(frames, megabytes),
    }


def resident_mb() -> float:
    """Memory of this process that is in RAM now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, turns=False)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--warm-up", type=int, default=500, help="frames before the first sample")
    parser.add_argument("--every", type=int, default=50, help="frames from one sample to the next")
    args = parser.parse_args(argv)
    if not args.warm_up < args.frames:
        parser.error(f"--warm-up {args.warm_up} leaves nothing of --frames {args.frames}")
    runtime = load_runtime(args.model, runtime=args.runtime, precision=args.precision, threads=args.threads)
    segmenter, monitor = StreamSegmenter(runtime), StabilityMonitor()
    images = input_frames(IMAGES, CAMERA_SIZE)
    at: list[int] = []
    resident: list[float] = []
    gpu: list[float] = []
    for k in tqdm(range(args.frames), unit="frame", disable=None):
        segmentation = segmenter.step(Frame(images.frames[k % IMAGES], k * NS_PER_S // FPS))
        assert segmentation is not None  # there is no lag
        monitor.update(segmentation)
        last = k == args.frames - 1
        if k >= args.warm_up and ((k - args.warm_up) % args.every == 0 or last):
            at.append(k)
            resident.append(resident_mb())
            if runtime.gpu_memory_bytes is not None:
                gpu.append(runtime.gpu_memory_bytes / MB)
    rss, on_gpu = growth(at, resident), growth(at, gpu) if gpu else None
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    results: dict[str, Any] = {
        "rss_growth_mb": rss["growth_mb"],
        "rss_slope_mb_per_1000_frames": rss["slope_mb_per_1000_frames"],
        "rss_peak_mb": peak_mb,
        "gpu_growth_mb": on_gpu and on_gpu["growth_mb"],
        "gpu_slope_mb_per_1000_frames": on_gpu and on_gpu["slope_mb_per_1000_frames"],
        "gpu_mb": gpu[-1] if gpu else None,
        "gpu_peak_mb": max(gpu) if gpu else None,
        "clip_memory_mib": runtime.memory_bytes / 2**20,
        "frames": args.frames,
        "warm_up": args.warm_up,
        "engine": described(runtime),
        "input": images.described(),
        "samples": {"frame": at, "rss_mb": resident, "gpu_mb": gpu},
    }
    rows = [{"memory": "resident", "first_mb": resident[0], "last_mb": resident[-1], "peak_mb": peak_mb} | rss]
    if on_gpu is not None:
        rows.append({"memory": "GPU", "first_mb": gpu[0], "last_mb": gpu[-1], "peak_mb": max(gpu)} | on_gpu)
    print(f"from frame {at[0]} to {at[-1]}:")
    print(as_table(rows, COLUMNS))
    write(args.json, "memory", results)


if __name__ == "__main__":
    main()
