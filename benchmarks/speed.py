"""Speed of the streaming form against its own parts, as ratios within one run; the figures of the README.

Run on an idle machine: `python benchmarks/speed.py [--model M] [--runtime R] [--precision P]`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.model.encoders.mobilenet_v2 import imagenet_layers
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.runtimes.torch import DTYPES
from t2g_ros.types import NS_PER_S, Frame

ROUNDS, REPEATS = 15, 5


def medians_ms(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median time of each task, the tasks taking turns so that a slower moment of the machine meets them all."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            for _ in range(REPEATS):
                start = time.perf_counter()
                task()
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: float(np.median(values)) for name, values in times.items()}


def mobilenet(runtime: Runtime) -> Callable[[], object]:
    """MobileNetV2 alone on the full-size image, what a plain encoder costs, in the same engine and precision."""
    height, width = runtime.input_size
    stem, blocks = imagenet_layers()
    network = nn.Sequential(stem, blocks).eval()
    image = torch.zeros(1, 3, height, width)
    if runtime.name == "torch":
        where = "cpu" if runtime.gpu_memory_bytes is None else "cuda"
        network.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = image.to(where)
        precision = DTYPES[runtime.precision]

        def infer() -> None:
            with torch.inference_mode(), torch.autocast(where, precision, enabled=precision != torch.float32):
                network(image).sum().item()

        return infer
    import openvino as ov

    with torch.no_grad():
        graph = ov.convert_model(torch.jit.trace(network, image), input=[tuple(image.shape)])
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": runtime.precision}
    request = ov.Core().compile_model(graph, "CPU", options).create_infer_request()
    return lambda: request.infer([image.numpy()], share_inputs=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="t2g_tiny")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    runtime = load_runtime(args.model, runtime=args.runtime, precision=args.precision)
    slots = runtime.slots
    image = np.random.default_rng(0).integers(0, 256, (*runtime.input_size, 3), dtype=np.uint8)
    camera = np.random.default_rng(0).integers(0, 256, (720, 960, 3), dtype=np.uint8)
    offsets = np.linspace(-1, 0, slots, dtype=np.float32)
    valid = np.ones(slots, np.float32)
    segmenter, stamps = StreamSegmenter(runtime), iter(range(0, 10**15, NS_PER_S // 15))

    def whole_clip() -> None:
        for slot in range(slots):
            runtime.encode(image, slot)
        runtime.decode(slots - 1, offsets, valid)

    times = medians_ms(
        {
            "encode": lambda: runtime.encode(image, 0),
            "decode": lambda: runtime.decode(0, offsets, valid),
            "step, 960x720 camera": lambda: segmenter.step(Frame(camera, next(stamps))),
            f"whole clip of {slots} again": whole_clip,
            "MobileNetV2 alone": mobilenet(runtime),
        }
    )
    print(f"{runtime.model_name}, {runtime.name} {runtime.precision} on {runtime.device}, {runtime.input_size[::-1]}\n")
    for name, ms in times.items():
        print(f"{name:<28}{ms:8.2f} ms")
    streaming = times["encode"] + times["decode"]
    ratio = times[f"whole clip of {slots} again"] / streaming
    print(f"streaming is {ratio:.2f} times as fast as running the whole clip again for every frame")
    print(f"encode and decode take {streaming / times['MobileNetV2 alone']:.2f} times as long as MobileNetV2 alone")
    print(f"clip memory: {runtime.memory_bytes / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
