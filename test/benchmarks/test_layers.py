"""The profile by layers, run short on a small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("openvino")

from layers import main


def test_the_layers_make_up_the_graphs(random_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    short = ["--precision", "f32", "--runs", "3", "--layers", "4", "--threads", "1"]
    main(["--model", str(random_model), *short, "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    for name in ("encode", "decode"):
        layers = found[name]["layers"]
        times = [layer["ms"] for layer in layers]
        assert times == sorted(times, reverse=True)
        assert sum(times) == pytest.approx(found[name]["layers_ms"])
        product = {"encode": "onvolution", "decode": "MatMul"}[name]
        assert any(product in layer["kind"] for layer in layers)
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 2 + 2 * 5  # of each graph four layers, and the others
    assert "TopK" in {layer["kind"] for layer in found["decode"]["layers"]}
