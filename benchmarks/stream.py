"""Speed of the streaming form against its own parts: the whole clip again for every frame, and a plain encoder.

Run on an idle machine: `python benchmarks/stream.py [--model M] [--runtime R] [--precision P] [--json FILE]`.

A frame costs one encode and one decode. The whole clip again costs as many encodes as it has frames, and a decode. Both
run in one engine, turn by turn, for several clip lengths at the model's own resolution and several resolutions with the
model's own clip. Cameras share one engine, as in the node; their frames are encoded one by one, and in batches where
the engine is faster so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import count, cycle
from typing import Any

import numpy as np
import torch
from inputs import FPS, Input, input_frames
from measure import Task, arguments, as_table, described, image_size, medians_ms, size_text, to_the_end, write
from torch import nn

from t2g_ros.cores import cores
from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.inference.steps import Step, encode_together
from t2g_ros.model.encoders.mobilenet_v2 import imagenet_layers
from t2g_ros.runtimes import Runtime, load_runtime, runtimes_for
from t2g_ros.runtimes.torch import DTYPES
from t2g_ros.types import NS_PER_S, Frame

CAMERA_SIZE = (720, 960)
FRAMES = 8
COLUMNS = ("size", "clip", "encode_ms", "decode_ms", "frame_ms", "clip_ms", "speedup", "mobilenet_ms", "over_mobilenet")


def mobilenet(runtime: Runtime, threads: int) -> Task | None:
    """MobileNetV2 alone on the full-size image, what a plain encoder costs, in the same engine and precision.

    Beside an int8 engine, which quantizes what it was calibrated for, in what the rest of that is in. None for an
    engine in which it is not built here.
    """
    height, width = runtime.input_size
    stem, blocks = imagenet_layers()
    network = nn.Sequential(stem, blocks).eval()
    image = torch.zeros(1, 3, height, width)
    if runtime.name == "torch":
        where = "cpu" if runtime.gpu_memory_bytes is None else "cuda"
        network.to(where, DTYPES[runtime.precision], memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = image.to(where, DTYPES[runtime.precision])

        def infer() -> None:
            with torch.inference_mode():
                network(image).sum().item()

        return infer
    if runtime.name == "openvino":
        return in_openvino(network, image, runtime.precision, threads)
    if runtime.name == "onnx" and runtime.gpu_memory_bytes is None:
        return in_onnxruntime(network, image, threads)
    return None


def in_openvino(network: nn.Module, image: torch.Tensor, precision: str, threads: int) -> Task:
    """The network on this image in OpenVINO."""
    import openvino as ov

    from t2g_ros.runtimes.openvino import fastest_floats

    with torch.no_grad():
        graph = ov.convert_model(torch.jit.trace(network, image), input=[tuple(image.shape)])
    if precision == "int8":  # of which the rest is in what is fastest
        precision = fastest_floats(ov.Core())
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    request = ov.Core().compile_model(graph, "CPU", options).create_infer_request()
    return lambda: request.infer([image.numpy()], share_inputs=True)


def in_onnxruntime(network: nn.Module, image: torch.Tensor, threads: int) -> Task:
    """The network on this image in ONNX Runtime, on the CPU."""
    import onnxruntime as ort

    graph = BytesIO()
    torch.onnx.export(
        network,
        (image,),
        graph,  # type: ignore[arg-type]  # this exporter takes files too
        input_names=["image"],
        dynamo=False,
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    session = ort.InferenceSession(graph.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": image.numpy()})


def compared(runtime: Runtime, frames: Input, args: argparse.Namespace) -> dict[str, Any]:
    """Medians of one engine at one resolution and clip length, and their ratios."""
    images = cycle(frames.resized(runtime.input_size))
    slots = runtime.slots
    offsets = np.linspace(-1, 0, slots, dtype=np.float32)
    valid = np.ones(slots, np.float32)

    def frame() -> None:
        runtime.encode(next(images), slots - 1)
        runtime.decode(slots - 1, offsets, valid)

    def whole_clip() -> None:
        for slot in range(slots):
            runtime.encode(next(images), slot)
        runtime.decode(slots - 1, offsets, valid)

    tasks: dict[str, Task] = {
        "encode_ms": lambda: runtime.encode(next(images), 0),
        "decode_ms": lambda: runtime.decode(slots - 1, offsets, valid),
        "frame_ms": frame,
        "clip_ms": whole_clip,
    }
    tasks = {name: to_the_end(runtime, task) for name, task in tasks.items()}
    plain = mobilenet(runtime, args.threads)
    if plain is not None:
        tasks["mobilenet_ms"] = plain
    times: dict[str, Any] = {"mobilenet_ms": None} | medians_ms(tasks, args.rounds, args.repeats)
    return {
        "size": size_text(runtime.input_size),
        "clip": slots,
        **times,
        "speedup": times["clip_ms"] / times["frame_ms"],
        "over_mobilenet": times["frame_ms"] / times["mobilenet_ms"] if plain is not None else None,
        "memory_mib": runtime.memory_bytes / 2**20,
    }


def of_cameras(
    runtimes: Sequence[Runtime], counts: Sequence[int], images: Input, rounds: int, repeats: int
) -> list[dict[str, Any]]:
    """Medians of one frame of each of so many cameras, resizing included, encoded one by one and as the node does.

    The node encodes as batches of `batch_frames` where the engine is faster so.
    """
    segmenters = [StreamSegmenter(runtime) for runtime in runtimes]
    frames, stamps = cycle(images.frames), count(0, NS_PER_S // FPS)

    def of_each(cameras: int, encode: Callable[[list[Step]], None]) -> Task:
        def run() -> None:
            stamp_ns = next(stamps)
            steps = [segmenter.begin(Frame(next(frames), stamp_ns)) for segmenter in segmenters[:cameras]]
            encode(steps)
            for segmenter, step in zip(segmenters, steps, strict=False):
                segmenter.finish(step)

        return to_the_end(runtimes[0], run)

    def alone(steps: list[Step]) -> None:
        for step in steps:
            step.encode()

    def in_batches(steps: list[Step]) -> None:
        for first in range(0, len(steps), runtimes[0].batch_frames):
            encode_together(steps[first : first + runtimes[0].batch_frames])

    ways = {"one_by_one_ms": alone}
    if runtimes[0].batch_frames > 1:
        ways["batches_ms"] = in_batches
    tasks = {(cameras, way): of_each(cameras, encode) for cameras in counts for way, encode in ways.items()}
    times = medians_ms(tasks, rounds, repeats)
    return [
        {"cameras": cameras}
        | {way: times[cameras, way] for way in ways}
        | {"per_camera_ms": times[cameras, list(ways)[-1]] / cameras}
        for cameras in counts
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--clips", type=int, nargs="*", default=list(range(1, 10)), help="clip lengths in frames")
    parser.add_argument(
        "--sizes",
        type=image_size,
        nargs="*",
        default=[(256, 512), (384, 768), (512, 1024), (768, 1536)],
        metavar="WxH",
        help="resolutions of the network",
    )
    parser.add_argument("--cameras", type=int, nargs="*", default=[1, 2, 4], help="numbers of cameras")
    args = parser.parse_args(argv)
    results = measured(args)
    print(as_table([results["own"], *results["by_clip_length"], *results["by_resolution"]], COLUMNS))
    print(f"\n{as_table(results['cameras'], ('cameras', 'one_by_one_ms', 'batches_ms', 'per_camera_ms'))}\n")
    print(f"streaming is {results['speedup_over_clip']:.2f} times as fast as the whole clip again for every frame")
    if results["decode_plus_encode_over_encoder"] is not None:
        ratio = results["decode_plus_encode_over_encoder"]
        print(f"encode and decode take {ratio:.2f} times as long as MobileNetV2 alone")
    write(args.json, "stream", results)


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    # One engine at a time, as a node has it: others beside it would take its caches.
    engine = {"runtime": args.runtime, "precision": args.precision, "threads": args.threads}
    images = input_frames(FRAMES, CAMERA_SIZE)
    runtime = load_runtime(args.model, **engine)
    own = compared(runtime, images, args)

    def others(**change: Any) -> dict[str, Any]:
        return compared(load_runtime(args.model, **engine, **change), images, args)

    lengths = [others(clip_frames=clip) for clip in args.clips]
    sizes = [others(input_size=size) for size in args.sizes]
    streams = runtimes_for(runtime, max(args.cameras, default=1))
    return {
        "speedup_over_clip": own["speedup"],
        "decode_plus_encode_over_encoder": own["over_mobilenet"],
        "engine": described(runtime),
        "input": images.described(),
        "own": own,
        "by_clip_length": lengths,
        "by_resolution": sizes,
        "cameras": of_cameras(streams, args.cameras, images, args.rounds, args.repeats),
    }


if __name__ == "__main__":
    main()
