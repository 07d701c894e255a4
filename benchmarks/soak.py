"""Long runs at full speed over DDS with faults injected at random by seed: does the node live, and account for all?

Run: `python benchmarks/soak.py --minutes M --seed S [--json FILE] [--model M] [--runtime R]`. Linux only. The exit code
is 1 if the node ended, a mask had a wrong stamp or a frame is unaccounted for.

Per transport (raw and compressed) there is a node, a camera (soak_camera.py, which spoils images, stamps, sizes and
rates), a receiver of the masks, and whoever operates the node (soak_stand.py): parameters, services, lifecycle,
subscribers that come and go, cameras that are killed and start anew, an engine that fails on command (failing_node.py).

`wrong_stamps`: masks whose stamp, frame_id and size are not those of one image that may have one, or that came twice.
`unaccounted`: frames that the node received and of which its counters do not say what became of them, and masks that
it says to have made and that did not arrive, or more. `rss_slope_mb_per_h`: by least squares, without the first fifth
of the run; of several nodes, the steepest. Latency: from the publishing of an image without fault to its mask's
arrival, medians of the second and of the last quarter of the run. `recovery_s`: from the end of a fault of the engine
to the next mask; the operator may take the camera away in between.
"""

from __future__ import annotations

import os
import random
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import rclpy
from measure import arguments, image_size, size_text, write
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from soak_stand import Stand

from t2g_ros.commands.demo import PROFILES
from t2g_ros.demo.process import DemoError
from t2g_ros.share import share_dir

OPERATE_EVERY_S = 2.0
ENGINE = ("model", "runtime", "precision", "device", "input_size")


def soak(args: Namespace, context: Context, folder: Path) -> dict[str, Any]:
    """All figures."""
    seconds, restarts = args.minutes * 60, 0
    dice = random.Random(args.seed)
    executor = SingleThreadedExecutor(context=context)
    thread = Thread(target=_spin, args=(executor,))
    with ExitStack() as stack:
        stands = [Stand(context, name, args, folder, args.seed + k) for k, name in enumerate(args.transports)]
        for stand in stands:
            stack.callback(stand.close)
            executor.add_node(stand)
        stack.callback(thread.join)
        stack.callback(executor.shutdown)
        thread.start()
        for stand in stands:
            stand.start(stand.check)
        start, start_ns = time.monotonic(), time.time_ns()
        operate_s = 0.0
        try:
            while (now_s := time.monotonic() - start) < seconds:
                for stand in stands:
                    stand.check()
                    stand.sample(now_s)
                if now_s >= operate_s:
                    operate_s = now_s + dice.uniform(0, 2 * OPERATE_EVERY_S)
                    dice.choice(stands).operate()
                time.sleep(0.5)
            for stand in stands:
                stand.finish()
        except DemoError as error:
            print(error, file=sys.stderr)
            restarts += 1
        by_node = {stand.transport: stand.result(start_ns, seconds) for stand in stands}
        for stand in stands:
            with suppress(DemoError):
                stand.node.stop()
        engine = {key: stands[0].model[key] for key in ENGINE}
    slopes = [found["rss_slope_mb_per_h"] for found in by_node.values() if found["rss_slope_mb_per_h"] is not None]
    return {
        "restarts": restarts,
        "wrong_stamps": sum(found["wrong_stamps"] for found in by_node.values()),
        "unaccounted": sum(found["unaccounted"] for found in by_node.values()),
        "rss_slope_mb_per_h": max(slopes, default=None),
        "faults": dict(sum((Counter(found["faults"]) for found in by_node.values()), Counter())),
        "frames": {
            key: sum(found[key] for found in by_node.values()) for key in ("frames_sent", "frames_received", "masks")
        },
        "seed": args.seed,
        "minutes": args.minutes,
        "threads": args.threads,
        "rate_hz": args.rate,
        "size": size_text(args.size),
        "engine": engine,
        "by_node": by_node,
    }


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException):
        executor.spin()


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__, turns=False)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--rate", type=float, default=30.0, help="of the cameras, Hz")
    parser.add_argument("--size", type=image_size, default=(512, 1024), metavar="WxH", help="of most images")
    parser.add_argument("--transports", nargs="+", choices=("raw", "compressed"), default=["raw", "compressed"])
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep what the processes write")
    parser.add_argument("--domain", type=int, default=1 + os.getpid() % 100, help="ROS_DOMAIN_ID of this run")
    args = parser.parse_args(argv)
    # Inherited by the processes; images are larger than Fast DDS's default shared-memory segment.
    os.environ["ROS_DOMAIN_ID"] = str(args.domain)
    if not any(name in os.environ for name in PROFILES):
        os.environ.update(dict.fromkeys(PROFILES, str(share_dir() / "config" / "fastdds.xml")))
    context = Context()
    rclpy.init(context=context, domain_id=args.domain)
    try:
        with TemporaryDirectory(prefix="t2g_ros-") as scratch:
            folder = args.logs or Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            results = soak(args, context, folder)
    finally:
        rclpy.shutdown(context=context)
    for key, value in results.items():
        if key != "by_node":
            print(f"{key:<20}{value}")
    for name, found in results["by_node"].items():
        print(f"{name}:")
        for key, value in found.items():
            print(f"  {key:<26}{value}")
    write(args.json, "soak", results)
    return int(bool(results["restarts"] or results["wrong_stamps"] or results["unaccounted"]))


if __name__ == "__main__":
    sys.exit(main())
