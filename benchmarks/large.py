"""Speed of t2g_large with its memory against its two frozen encoders alone and the whole clip again for every frame.

Run on an idle machine with a CUDA GPU: `python benchmarks/large.py [--precision P] [--json FILE]`; without one it says
so. The network is that of config/train/t2g_large.yaml with random weights, which are as fast as trained ones, so that
nothing is downloaded. It runs in the torch engine, from an image in the computer's memory to a mask there.
The encoders alone compute as they do in it: in the same precision, prepared alike, beside each other, as a CUDA graph.
They do so once more launched kernel by kernel, as they would be in a plain script.

`--tiny` runs the same code with a very small network at 128x64, on any machine; its figures say nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from inputs import input_frames
from measure import Task, arguments, as_table, described, medians_ms, to_the_end, write
from torch import Tensor, nn

from t2g_ros.model.beside import both
from t2g_ros.model.checkpoint import save_model
from t2g_ros.model.config import ModelConfig
from t2g_ros.model.encoders.build import build_depth_encoder, build_encoder
from t2g_ros.model.time2general import Time2General
from t2g_ros.runtimes import Runtime, load_runtime
from t2g_ros.runtimes.cuda_graphs import captured
from t2g_ros.runtimes.torch import DTYPES, prepare

CONFIG = Path(__file__).resolve().parents[1] / "config" / "train" / "t2g_large.yaml"
IMAGES = 8
LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 518,
    "patch_size": 14,
}
"""ViT-L/14 as the configs of DINOv2-L and of Depth Anything V2-L's encoder have it."""
LARGE_TEXT_WIDTH = 768
"""Of CLIP ViT-L/14."""
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 70,
    "patch_size": 14,
}
TINY_CHANGES: dict[str, Any] = {"input_size": [64, 128], "width": 32, "queries": 24, "query_rank": 4}


def model_config(tiny: bool) -> ModelConfig:
    """The config of the network, complete without any checkpoint."""
    from transformers import Dinov2Config

    from t2g_ros.model.encoders.architecture import architecture

    values = yaml.safe_load(CONFIG.read_text())["model"]
    if tiny:
        values |= TINY_CHANGES
        values["encoder"]["taps"] = [1, 2, 3, 4]
        values["pixel_decoder"] |= {"layers": 1}
    transformer = architecture(Dinov2Config(**(TINY if tiny else LARGE)))
    for part in ("encoder", "depth"):
        values[part] |= {"architecture": transformer}
    values["text"] |= {"width": 12 if tiny else LARGE_TEXT_WIDTH}
    return ModelConfig.from_dict(values, str(CONFIG))


def load_random(config: ModelConfig, precision: str, threads: int) -> Runtime:
    """The torch engine with a network of random weights."""
    torch.manual_seed(0)
    with TemporaryDirectory(prefix="t2g_ros-") as scratch:
        weights = Path(scratch) / f"{config.name}.safetensors"
        save_model(Time2General(config), weights)
        return load_runtime(weights, runtime="torch", precision=precision, threads=threads)


class Encoders(nn.Module):
    """The two frozen encoders without anything that reads them or changes their features."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.image = build_encoder(config.encoder)
        assert config.depth is not None
        self.depth = build_depth_encoder(config.depth, config.encoder)
        self._aside = torch.cuda.Stream() if torch.cuda.is_available() else None

    def forward(self, rgb: Tensor) -> Tensor:
        """(1, 3, H, W) RGB in 0..255 -> one number, so that all is computed."""
        maps, tokens = both(lambda: self.image(rgb), lambda: self.depth(rgb)[-1], self._aside)
        return next(iter(maps.values())).sum() + tokens.sum()


def encoders_alone(config: ModelConfig, precision: str, next_image: Callable[[], Any], *, graph: bool) -> Task:
    """From an image in the computer's memory to the last layers of both encoders, as a CUDA graph or not."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = DTYPES[precision]
    encoders = Encoders(config).eval().to(device)
    prepare(encoders, config.input_size, dtype)
    image = torch.zeros((*config.input_size, 3), dtype=torch.uint8, device=device)

    @torch.inference_mode()
    def encode() -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return encoders(image.permute(2, 0, 1)[None].float())

    run_encoders = captured(encode, "the frozen encoders") if graph and device.type == "cuda" else encode

    def run() -> None:
        image.copy_(torch.from_numpy(next_image()))
        run_encoders().item()

    return run


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    config = model_config(args.tiny)
    runtime = load_random(config, args.precision, args.threads)
    images = input_frames(IMAGES, config.input_size)
    frames, slots = cycle(images.frames), runtime.slots
    offsets, valid = np.linspace(-1, 0, slots, dtype=np.float32), np.ones(slots, np.float32)

    def encode() -> None:
        runtime.encode(next(frames), slots - 1)

    def decode() -> None:
        runtime.decode(slots - 1, offsets, valid)

    def frame() -> None:
        encode()
        decode()

    def whole_clip() -> None:
        for slot in range(slots):
            runtime.encode(next(frames), slot)
        decode()

    tasks: dict[str, Task] = {"frame": frame, "encode": encode, "decode": decode, "whole clip": whole_clip}
    tasks = {name: to_the_end(runtime, task) for name, task in tasks.items()}
    alone = {"frozen encoders alone": True, "frozen encoders alone, kernel by kernel": False}
    for name, graph in alone.items():
        tasks[name] = encoders_alone(config, args.precision, lambda: next(frames), graph=graph)
    times = medians_ms(tasks, args.rounds, args.repeats)
    fps = {name: 1e3 / ms for name, ms in times.items()}
    encoders, plain_encoders = alone
    return {
        "fps": fps["frame"],
        "share_of_frozen_encoders": fps["frame"] / fps[encoders],
        "share_of_frozen_encoders_kernel_by_kernel": fps["frame"] / fps[plain_encoders],
        "speedup_over_clip": fps["frame"] / fps["whole clip"],
        "tiny": args.tiny,
        "engine": described(runtime),
        "gpu_mb": None if runtime.gpu_memory_bytes is None else runtime.gpu_memory_bytes / 1e6,
        "clip_memory_mib": runtime.memory_bytes / 2**20,
        "input": images.described(),
        "tasks": [{"task": name, "ms": ms, "per_s": fps[name]} for name, ms in times.items()],
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, engine=False)
    parser.add_argument("--precision", default="bf16", choices=DTYPES)
    parser.add_argument("--threads", type=int, default=0, help="on a CPU; 0: one per core")
    parser.add_argument("--tiny", action="store_true", help="a very small network, on a CPU, too")
    args = parser.parse_args(argv)
    if not (args.tiny or torch.cuda.is_available()):
        why = "no CUDA device; t2g_large is for a GPU"
        print(f"skipped: {why}")
        write(args.json, "large", {"skipped": why})
        return
    results = measured(args)
    print(as_table(results["tasks"], ("task", "ms", "per_s")))
    print(f"\n{results['fps']:.1f} frames/s, {100 * results['share_of_frozen_encoders']:.0f} % of the encoders alone,")
    print(f"{results['speedup_over_clip']:.2f} times as fast as the whole clip again for every frame")
    write(args.json, "large", results)


if __name__ == "__main__":
    main()
