"""The SROS 2 policy that ships names what the node really uses, and nothing else."""

from collections.abc import Callable
from xml.etree import ElementTree

from .bench import ROOT, Bench, NodeProcess

NODE = "segment_node"
AT_TIMES = {"/clock", "/image_raw/compressed", "/segmentation/label_info", f"/{NODE}/get_type_description"}
"""Under use_sim_time, with image_transport: compressed, where vision_msgs is installed, in newer distributions."""


def allowed(section: str, direction: str) -> set[str]:
    """Full names of what the policy allows, for the namespace / that the example is of."""
    root = ElementTree.parse(ROOT / "config" / "sros2_policy.xml").getroot()
    (profile,) = root.iter("profile")
    assert (profile.get("ns"), profile.get("node")) == ("/", NODE)
    names = [e.text or "" for part in profile.iter(section) if part.get(direction) == "ALLOW" for e in part]
    return {name.replace("~", f"/{NODE}", 1) if name[0] == "~" else f"/{name.lstrip('/')}" for name in names}


def test_the_policy_names_what_the_node_uses(bench: Bench, start_node: Callable[..., NodeProcess]) -> None:
    start_node()
    bench.ready()
    for kind, section, direction in (
        ("publisher", "topics", "publish"),
        ("subscriber", "topics", "subscribe"),
        ("service", "services", "reply"),
    ):
        policy = allowed(section, direction)
        bench.until(lambda: bench.used(kind) >= policy - AT_TIMES, f"the node's {section}")  # noqa: B023
        assert bench.used(kind) <= policy
