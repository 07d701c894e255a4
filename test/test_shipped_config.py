"""The shipped configuration that no other test reads: RViz's view and Fast DDS's profile."""

from pathlib import Path
from xml.etree import ElementTree

import yaml

CONFIG = Path(__file__).resolve().parents[1] / "config"


def test_rviz_shows_overlay_colours_and_stability_of_the_camera_it_is_launched_for() -> None:
    view = yaml.safe_load((CONFIG / "segment.rviz").read_text())
    images = [d for d in view["Visualization Manager"]["Displays"] if d["Class"] == "rviz_default_plugins/Image"]
    # Relative names: the launch file starts RViz in the camera's namespace.
    assert {d["Topic"]["Value"] for d in images} == {f"segmentation/{t}" for t in ("overlay", "color", "stability")}
    assert all(d["Enabled"] for d in images)


def test_a_4k_colour_image_fits_the_shared_memory_and_one_message() -> None:
    root = ElementTree.parse(CONFIG / "fastdds.xml").getroot()
    values = {element.tag.rsplit("}", 1)[-1]: element.text for element in root.iter()}
    image_bytes = 3840 * 2160 * 3
    assert int(values["segment_size"] or 0) > 2 * image_bytes
    assert int(values["maxMessageSize"] or 0) > image_bytes
