from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import Any

import pytest

from t2g_ros.checked import build
from t2g_ros.errors import T2GError


class Wrong(T2GError):
    pass


@dataclass
class Part:
    size: tuple[int, int] = (1, 2)
    origin: InitVar[str] = "part"

    def __post_init__(self, origin: str) -> None:
        if self.size[0] < 0:
            raise Wrong(f"{origin}: size is {self.size}")


@dataclass
class Whole:
    name: str
    rate: float = 1.0
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    free: dict[str, Any] = field(default_factory=dict)


def test_sections_lists_and_numbers_become_what_the_dataclass_says() -> None:
    values = {"name": "a", "rate": "1e-4", "part": {"size": [3, 4]}, "parts": [{}, {"size": [5, 6]}], "free": {"x": 1}}
    expected = Whole("a", 1e-4, Part((3, 4)), (Part(), Part((5, 6))), {"x": 1})
    assert build(Whole, values, "here", Wrong) == expected
    assert build(Whole, {"name": "a", "part": None}, "here", Wrong) == Whole("a")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "here: found NoneType, expected a mapping"),
        ({}, "here: lacks the key(s) ['name']"),
        ({"name": "a", "nam": 1}, "here: unknown key(s) ['nam']; known keys are ['free', 'name', "),
        ({"name": 1}, "here: name is 1, expected str"),
        ({"name": "a", "rate": True}, "here: rate is True, expected float"),
        ({"name": "a", "rate": "fast"}, "here: rate is 'fast', expected float"),
        ({"name": "a", "part": 3}, "here, part: found int, expected a mapping"),
        ({"name": "a", "part": {"size": [1]}}, "here, part: size is [1], expected a list of 2 int"),
        ({"name": "a", "part": {"size": [-1, 1]}}, "here, part: size is (-1, 1)"),
        ({"name": "a", "parts": {}}, "here: parts is {}, expected a list of a mapping"),
        ({"name": "a", "parts": [{}, {"sise": [1, 2]}]}, "here, parts[1]: unknown key(s) ['sise']"),
    ],
)
def test_an_error_names_the_place_what_was_found_and_what_was_expected(values: Any, message: str) -> None:
    with pytest.raises(Wrong) as raised:
        build(Whole, values, "here", Wrong)
    assert str(raised.value).startswith(message)
