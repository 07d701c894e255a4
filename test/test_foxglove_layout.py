"""The layout that Foxglove imports: whole, and on topics that the node publishes and a masks bag holds."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader

from t2g_ros.evaluation.outputs.mask_bag import MaskBagWriter
from t2g_ros.labels import CITYSCAPES19
from t2g_ros.types import Frame, Segmentation

ROOT = Path(__file__).resolve().parents[1]
LAYOUT = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
CONFIGS: dict[str, dict[str, Any]] = LAYOUT["configById"]
KINDS = {"Image", "DiagnosticSummary", "RawMessages", "Plot"}


def panels(tree: Any) -> list[str]:
    """The panels at the leaves of the layout's tree."""
    if isinstance(tree, str):
        return [tree]
    assert tree["direction"] in ("row", "column")
    assert 0 < tree["splitPercentage"] < 100
    return panels(tree["first"]) + panels(tree["second"])


def paths() -> list[str]:
    """Every topic or message path that a panel reads."""
    found = []
    for name, config in CONFIGS.items():
        kind = name.split("!")[0]
        found += [config["imageMode"]["imageTopic"]] if kind == "Image" else []
        found += [config["topicPath"]] if kind == "RawMessages" else []
        found += [config["topicToRender"]] if kind == "DiagnosticSummary" else []
        found += [path["value"] for path in config["paths"]] if kind == "Plot" else []
    return found


def test_every_panel_is_of_a_kind_that_foxglove_has_and_lies_in_the_layout_once() -> None:
    assert set(LAYOUT) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    assert sorted(panels(LAYOUT["layout"])) == sorted(CONFIGS)
    assert {name.split("!")[0] for name in CONFIGS} == KINDS


def test_a_masks_bag_holds_what_the_pictures_and_the_labels_show(tmp_path: Path) -> None:
    labels = np.zeros((4, 4), np.uint8)
    with MaskBagWriter(tmp_path / "b", space=CITYSCAPES19) as bag:
        bag.add(Segmentation(Frame(np.zeros((4, 4, 3), np.uint8), 1), labels, labels, labels, 1, 0.0), labels)
    with AnyReader([tmp_path / "b"]) as reader:
        held = {connection.topic for connection in reader.connections}
    shown = {path.split(".")[0] for path in paths()}
    assert shown - held == {"/diagnostics"}  # the live node's
    assert {"overlay", "color", "stability", "labels"} <= {topic.rpartition("/")[2] for topic in shown}


def test_the_camera_is_where_the_launch_file_puts_it() -> None:
    tree = ast.parse((ROOT / "launch" / "segment.launch.py").read_text())
    (arguments,) = (
        n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "ARGUMENTS"
    )
    assert isinstance(arguments, ast.Dict)
    defaults = {ast.unparse(k): v for k, v in zip(arguments.keys, arguments.values, strict=True) if k}
    namespace = ast.literal_eval(defaults["'namespace'"])[0]
    topics = [path for path in paths() if "/segmentation/" in path]
    assert topics
    assert all(path.startswith(f"/{namespace}/segmentation/") for path in topics)


def test_plots_draw_what_they_are_given() -> None:
    plotted = [path for name, config in CONFIGS.items() if name.startswith("Plot!") for path in config["paths"]]
    assert plotted
    for path in plotted:
        assert path["enabled"]  # Foxglove takes an absent one as false
        assert path["value"].startswith("/diagnostics.status[:].values[:]{key==")
