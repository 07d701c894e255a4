"""The shipped parameter file holds every parameter with its default, and the node tells what each one is."""

from collections.abc import Iterator
from dataclasses import asdict, fields

import pytest
import rclpy
import yaml
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from t2g_ros.ros.parameters import Parameters, Settings

from .bench import ROOT, Bench

CONFIG = ROOT / "config" / "segment.yaml"


@pytest.fixture
def node(domain_id: int) -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    yield rclpy.create_node("parameters", context=context, enable_rosout=False)
    rclpy.shutdown(context=context)


def test_the_parameter_file_documents_every_parameter_with_its_default() -> None:
    shipped = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    assert shipped == asdict(Settings())


def test_each_parameter_in_the_file_has_a_comment_right_above_it() -> None:
    lines = CONFIG.read_text().splitlines()
    for name in (f.name for f in fields(Settings)):
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
        assert lines[at - 1].strip().startswith("# "), name


def test_the_node_starts_with_the_file_and_describes_what_it_declares(bench: Bench, start_node, random_model) -> None:
    start_node("--params-file", str(CONFIG), "-p", f"model:={random_model}")
    bench.ready()
    bench.segment(bench.image(0))


def test_descriptions_ranges_and_read_only_flags_are_declared(node: Node) -> None:
    Parameters(node)
    for name, default in asdict(Settings()).items():
        descriptor = node.describe_parameter(name)
        assert len(descriptor.description) > 10
        assert descriptor.additional_constraints
        assert descriptor.read_only is (name == "autostart")
        if isinstance(default, float):
            assert (
                descriptor.floating_point_range[0].from_value <= default <= descriptor.floating_point_range[0].to_value
            )
    assert node.describe_parameter("threads").integer_range[0].from_value == 0


def test_settings_follow_the_node(node: Node) -> None:
    parameters = Parameters(node)
    assert parameters.settings == Settings()
    names = ["front", "left"]
    changes = {"input_size": [64, 128], "max_gap_s": 3.0, "cameras": names}
    node.set_parameters([Parameter(name, value=value) for name, value in changes.items()])
    settings = parameters.settings
    assert (settings.input_size, settings.max_gap_s, settings.cameras) == ([64, 128], 3.0, names)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("image_transport", "theora", "found 'theora', expected one of raw, compressed"),
        ("input_size", [64], "found [64], expected [height, width] in multiples of 64"),
        ("input_size", [0, 64], "found [0, 64]"),
        ("input_size", [-64, 64], "found [-64, 64]"),
        ("cameras", ["front", "left", "front"], "found 'front' 2 times, expected each name once"),
        ("cameras", ["front", ""], "found the name '', expected letters, digits and _, no digit first"),
        ("cameras", ["2nd"], "found the name '2nd'"),
        ("cameras", ["front/left"], "found the name 'front/left'"),
        ("cameras", ["vorn-links"], "found the name 'vorn-links'"),
    ],
)
def test_a_change_is_refused_with_found_and_expected(node: Node, name: str, value: object, expected: str) -> None:
    problem = Parameters(node).check([Parameter(name, value=value)], unconfigured=True)
    assert problem is not None
    assert expected in problem
    assert name in problem
