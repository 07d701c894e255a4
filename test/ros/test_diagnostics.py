"""/diagnostics key by key, before and after the first frames, and that the shipped aggregator config finds it all."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from t2g_ros.ros.diagnostics import PERIOD_S
from t2g_ros.ros.health import SKIPS, STAGES

from .bench import ROOT, Bench, NodeProcess, picture

Start = Callable[..., NodeProcess]
COUNTS = {
    *(f"frames_{what}" for what in ("received", "segmented", "batched", "dropped", "lost", "rejected", "failed")),
    *(f"frames_skipped_{cause}" for cause in (*SKIPS, "reset")),
    "frames_waiting",
}
MEASURED = {
    *("encoding", "image_size", "processing_time_ms", "consecutive_processing_delay_ms"),
    *("is_processing_time_ms_in_expected_range", "is_consecutive_processing_delay_in_range"),
    *(f"stage_{stage}_ms" for stage in STAGES),
    *(f"stage_{stage}_ms_{percentile}" for stage in (*STAGES, "total") for percentile in ("p50", "p95")),
    *("mean_confidence", "clip_frames", "clip_span_s"),
}
"""Known from the first mask on."""
COMPARED = {
    *("flicker", "mean_flicker", "is_mean_flicker_in_range", "effective_rate_hz", "effective_stride_s"),
    *("temporal_consistency", "mean_temporal_consistency", "is_mean_temporal_consistency_in_range"),
}
"""Known from the second mask on."""
ALWAYS = {"state", "topic", "publishers", "output_subscribers", "memory_bytes", "resets"}
MODEL = {"model", "labels", "runtime", "reason", "precision", "device", "input_size", "memory_bytes"}


ENGINE = {"gpu_memory_bytes", "engine_state", "engine_recreations", "cache_state", "files_state"}


def newest(bench: Bench) -> dict[str, dict[str, str]]:
    """Key-value pairs by status name."""
    return {status.name: bench.values(status) for status in bench.diagnostics[-1].status}


def test_every_key_is_there_and_unknown_until_it_is_known(bench: Bench, start_node: Start) -> None:
    start_node(autostart=False)
    bench.until(lambda: bench.diagnostics, "diagnostics of a node without a model")
    assert newest(bench) == {"segment_node: model": dict.fromkeys([*MODEL, *ENGINE], "n/a")}
    assert bench.transition(1)
    assert bench.transition(3)
    bench.ready()

    camera = newest(bench)["segment_node: /image_raw"]
    assert camera.keys() == ALWAYS | COUNTS | MEASURED | COMPARED
    assert {key for key, value in camera.items() if value == "n/a"} == MEASURED | COMPARED
    assert all(camera[key] == "0" for key in COUNTS)
    model = newest(bench)["segment_node: model"]
    assert {key for key, value in model.items() if value == "n/a"} == {"gpu_memory_bytes"}  # there is no GPU
    assert int(camera["memory_bytes"]) == int(model["memory_bytes"]) > 0

    bench.segment(bench.image(0))
    first = bench.wait_value("frames_segmented", "1")
    assert {key for key, value in first.items() if value == "n/a"} == COMPARED
    # A picture that stands still, so that flow can follow it.
    for i in range(1, 4):
        bench.segment(bench.image(i, picture(0)))
    values = bench.wait_value("frames_segmented", "4")
    assert not [key for key, value in values.items() if value == "n/a"]
    assert all(values[key] in ("true", "false") for key in values if key.startswith("is_"))
    assert (values["encoding"], values["image_size"], values["clip_frames"]) == ("rgb8", "160x96", "4")
    # A cause that has occurred has a key of its own.
    bench.segment(bench.image(3, stamp=1))
    assert bench.wait_value("frames_segmented", "5")["resets_stamp_backward"] == "1"


def analyzers(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The generic analyzers of a configuration or group, by their paths."""
    found = {}
    for value in config.values():
        if isinstance(value, dict) and value.get("type") == "diagnostic_aggregator/GenericAnalyzer":
            found[value["path"]] = value
        elif isinstance(value, dict) and value.get("type") == "diagnostic_aggregator/AnalyzerGroup":
            found |= {f"{value['path']}/{path}": item for path, item in analyzers(value["analyzers"]).items()}
    return found


def matches(analyzer: dict[str, Any], name: str) -> bool:
    """GenericAnalyzer::match of diagnostic_aggregator; std::regex_match is of the whole name."""
    return (
        any(re.fullmatch(pattern, name) for pattern in analyzer.get("regex", []))
        or any(name == expected for expected in analyzer.get("expected", []))
        or any(name.startswith(prefix) for prefix in analyzer.get("startswith", []))
        or any(part in name for part in analyzer.get("contains", []))
    )


def test_the_aggregator_config_finds_every_status_once(bench: Bench, start_node: Start) -> None:
    config = yaml.safe_load((ROOT / "config" / "diagnostic_aggregator.yaml").read_text())
    found = analyzers(config["analyzers"]["ros__parameters"])
    assert found.keys() == {"Segmentation/Models", "Segmentation/Cameras"}
    for analyzer in found.values():
        assert isinstance(analyzer["regex"], list)  # the aggregator takes no single string
        assert isinstance(analyzer["timeout"], float)
        assert analyzer["timeout"] > 2 * PERIOD_S

    def places(name: str) -> list[str]:
        return [path for path, analyzer in found.items() if matches(analyzer, name)]

    start_node("-r", "__ns:=/vehicle/front", "-r", "image_raw:=/image_raw")
    bench.until(lambda: bench.status("waiting"), "a camera's status")
    names = {status.name for status in bench.statuses}
    assert names == {"vehicle/front/segment_node: model", "vehicle/front/segment_node: /image_raw"}
    assert {name: places(name) for name in names} == {
        "vehicle/front/segment_node: model": ["Segmentation/Models"],
        "vehicle/front/segment_node: /image_raw": ["Segmentation/Cameras"],
    }
    assert places("segment_node: model") == ["Segmentation/Models"]  # without a namespace
    assert places("lidar/driver: model") == places("segment_node_2: /image_raw") == []
