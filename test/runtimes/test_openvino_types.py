"""What OpenVINO computes in which type."""

from pathlib import Path

import pytest

ov = pytest.importorskip("openvino")
from t2g_ros.model.config import ModelConfig  # noqa: E402
from t2g_ros.runtimes.openvino import fastest_floats, shared_core, write_graphs  # noqa: E402
from t2g_ros.runtimes.openvino_types import set_types  # noqa: E402


def compiled(floats: str, model: Path, folder: Path) -> "ov.CompiledModel":
    config = ModelConfig.load(model.with_suffix(".yaml"))
    write_graphs(model, config, ["decode"], folder)
    graph = shared_core().read_model(folder / "decode.xml")
    element = getattr(ov.Type, floats)
    set_types(element, "decode", graph, config)
    return shared_core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": element})


@pytest.mark.parametrize("floats", ["f32", "bf16"])
def test_labels_are_found_in_the_type_that_is_asked_for(floats: str, random_model: Path, tmp_path: Path) -> None:
    """Raising the scores takes as long as memory takes, and so half as long in bf16."""
    if floats == "bf16" != fastest_floats(shared_core()):
        pytest.skip("this CPU has no native bf16")
    layers = compiled(floats, random_model, tmp_path).get_runtime_model().get_ops()
    facts = [{key: value.astype(str) for key, value in op.get_rt_info().items()} for op in layers]
    assert {fact["runtimePrecision"] for fact in facts if fact["layerType"] == "TopK"} == {floats}
