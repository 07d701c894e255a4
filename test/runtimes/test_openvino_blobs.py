"""What OpenVINO compiled, kept: with a stand-in for OpenVINO, which fails where the real one hardly ever does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openvino")

from t2g_ros.runtimes import cache
from t2g_ros.runtimes.openvino_blobs import compiled

NAMES = ("encode", "decode")


class Core:
    """Compiles a graph, a name, into an engine that exports it; imports what was exported."""

    def __init__(self) -> None:
        self.compiled: list[str] = []
        self.fails: dict[str, Exception] = {}

    def get_property(self, device: str, name: str) -> str:
        return f"{device}'s {name}"

    def compile_model(self, graph: str, device: str, options: dict[str, Any]) -> Any:
        self._may_fail(f"compile {graph}")
        self.compiled.append(graph)

        def export() -> BytesIO:
            self._may_fail("export")
            return BytesIO(graph.encode())

        return SimpleNamespace(made="compiled", graph=graph, export_model=export)

    def import_model(self, blob: bytes, device: str, options: dict[str, Any]) -> Any:
        self._may_fail("import")
        return SimpleNamespace(made="imported", graph=blob.decode())

    def _may_fail(self, step: str) -> None:
        if step in self.fails:
            raise self.fails[step]


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
def load(core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[str, str]]]:
    monkeypatch.setenv("T2G_CACHE_DIR", str(tmp_path / "cache"))
    cache.forget_trouble()

    def loaded() -> list[tuple[str, str]]:
        engines: list[Any] = compiled(core, lambda: list(NAMES), [], "64x64", {}, NAMES)  # type: ignore[arg-type, return-value]
        return [(engine.made, engine.graph) for engine in engines]

    return loaded


def test_what_was_compiled_is_imported_from_the_first_start_on(core: Core, load: Callable) -> None:
    for _ in range(2):
        assert load() == [("imported", "encode"), ("imported", "decode")]
    assert core.compiled == ["encode", "decode"]


def test_what_cannot_be_imported_is_compiled_once(core: Core, load: Callable, tmp_path: Path) -> None:
    core.fails["import"] = RuntimeError("of another release")
    assert load() == [("compiled", "encode"), ("compiled", "decode")]
    assert core.compiled == ["encode", "decode"]
    assert not list((tmp_path / "cache").glob("*/*.blob"))  # and made anew at the next start


def test_a_want_of_memory_at_the_import_costs_no_cache(core: Core, load: Callable, tmp_path: Path) -> None:
    load()
    core.fails["import"] = RuntimeError("std::bad_alloc")
    with pytest.raises(RuntimeError, match="bad_alloc"):
        load()
    assert len(list((tmp_path / "cache").glob("*/*.blob"))) == 2
    assert core.compiled == ["encode", "decode"]


def test_what_cannot_be_compiled_says_so_itself(core: Core, load: Callable) -> None:
    core.fails["compile decode"] = RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        load()


def test_what_cannot_be_exported_is_used_as_it_is(core: Core, load: Callable, caplog: pytest.LogCaptureFixture) -> None:
    core.fails["export"] = RuntimeError("not implemented")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert load() == [("compiled", "encode"), ("compiled", "decode")]
    assert core.compiled == ["encode", "decode"] * 2
    assert caplog.text.count("cannot be kept (not implemented)") == 1
