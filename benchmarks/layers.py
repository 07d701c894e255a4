"""Where the time of encode and decode goes, layer by layer, as OpenVINO tells it.

Run on an idle machine: `python benchmarks/layers.py [--model M] [--precision P] [--layers N] [--json FILE]`.

Times are medians of the layers as the engine fuses them; those that take most come
first, and the others are one row. `wall_ms` is the whole with the counters on, which cost some of it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import openvino as ov
from measure import arguments, as_table, write

from t2g_ros.runtimes import int8_openvino
from t2g_ros.runtimes.converted import find_network
from t2g_ros.runtimes.openvino import OV_TYPES, fastest_floats, shared_core, write_graphs
from t2g_ros.runtimes.openvino_types import set_types

GRAPHS = ("encode", "decode")
PRECISIONS = ("auto", *OV_TYPES, "int8")
WARM_UP = 5
COLUMNS = ("graph", "ms", "percent", "kind", "kernel", "layer")


def profile(graph: ov.Model, options: dict[str, Any], runs: int) -> tuple[float, list[dict[str, Any]]]:
    """Median milliseconds of a graph on zeros, and of each of its layers, the slowest first."""
    compiled = shared_core().compile_model(graph, "CPU", options | {"PERF_COUNT": True})
    request = compiled.create_infer_request()
    walls = []
    layers: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for run in range(WARM_UP + runs):
        start = time.perf_counter()
        request.infer()
        if run < WARM_UP:
            continue
        walls.append((time.perf_counter() - start) * 1e3)
        for layer in request.profiling_info:
            key = layer.node_type, layer.exec_type, layer.node_name
            layers[key].append(layer.real_time.total_seconds() * 1e3)
    rows = [
        {"ms": float(np.median(times)), "kind": kind, "kernel": kernel, "layer": name}
        for (kind, kernel, name), times in layers.items()
    ]
    return float(np.median(walls)), sorted(rows, key=lambda row: -row["ms"])


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, engine=False, turns=False)
    parser.add_argument("--model", default="t2g_tiny", help="a shipped model's name, or a .safetensors file")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--threads", type=int, default=0, help="of the engine; 0: one per core")
    parser.add_argument("--layers", type=int, default=12, help="of each graph, the slowest")
    parser.add_argument("--runs", type=int, default=50)
    args = parser.parse_args(argv)
    weights, config = find_network(args.model, None)
    fastest = fastest_floats(shared_core())
    precision = fastest if args.precision in ("auto", "bf16") else args.precision
    floats = fastest if precision == "int8" else precision
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": OV_TYPES[floats]}
    if args.threads:
        options["INFERENCE_NUM_THREADS"] = args.threads
    with TemporaryDirectory() as scratch:
        write_graphs(weights, config, GRAPHS, Path(scratch))
        read = {name: partial(shared_core().read_model, Path(scratch) / f"{name}.xml") for name in GRAPHS}
        if precision == "int8":
            read["encode"] = partial(int8_openvino.read, shared_core(), weights, config)
        graphs = {name: read[name]() for name in GRAPHS}
        for name, graph in graphs.items():
            set_types(options["INFERENCE_PRECISION_HINT"], name, graph, config)
        found = {name: profile(graph, options, args.runs) for name, graph in graphs.items()}
    table, results = [], {}
    for name, (wall_ms, rows) in found.items():
        total = sum(row["ms"] for row in rows)
        shown, others = rows[: args.layers], rows[args.layers :]
        rest = {"ms": sum(row["ms"] for row in others), "layer": f"{sum(row['ms'] > 0 for row in others)} others"}
        table += [{"graph": name, "percent": 100 * row["ms"] / total} | row for row in [*shown, rest]]
        results[name] = {"wall_ms": wall_ms, "layers_ms": total, "layers": rows}
    print(as_table(table, COLUMNS))
    engine = {"model": config.name, "runtime": "openvino", "precision": precision, "input_size": config.input_size}
    write(args.json, "layers", {"engine": engine} | results)


if __name__ == "__main__":
    main()
