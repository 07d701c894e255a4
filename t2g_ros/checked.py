"""What YAML files hold, as config dataclasses whose every key and type is checked."""

from __future__ import annotations

import types
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from t2g_ros.errors import T2GError

Config = TypeVar("Config")


def build(kind: type[Config], values: Any, origin: str, error: type[T2GError]) -> Config:
    """Make a config dataclass, and those inside it, of a mapping.

    Lists become tuples, and 1e-4, a string to YAML, a number. A dataclass that wants to name the place of a value that
    it finds bad declares an `origin: InitVar[str]`, and is given it.

    Args:
        kind: the dataclass.
        values: what was read.
        origin: what an error names as the place of a bad value.
        error: what to raise.

    Raises:
        T2GError: of type `error`: it is no mapping, or a key is unknown, missing or of another type.
    """
    if not isinstance(values, dict):
        raise error(f"{origin}: found {type(values).__name__}, expected a mapping")
    known = sorted(f.name for f in fields(kind))  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in values.keys() - set(known))
    if unknown:
        raise error(f"{origin}: unknown key(s) {unknown}; known keys are {known}")
    needed = (f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)  # type: ignore[arg-type]
    missing = [name for name in needed if name not in values]
    if missing:
        raise error(f"{origin}: lacks the key(s) {missing}")
    hints = get_type_hints(kind)
    clean = {key: _clean(value, hints[key], f"{origin}, {key}", error) for key, value in values.items()}
    for key, value in clean.items():
        if not _fits(value, hints[key]):
            raise error(f"{origin}: {key} is {values[key]!r}, expected {_described(hints[key])}")
    named = {"origin": origin} if "origin" in hints else {}
    return kind(**clean, **named)


def _clean(value: Any, hint: Any, origin: str, error: type[T2GError]) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if is_dataclass(option) and not is_dataclass(value) and value is not None:
            return build(option, value, origin, error)  # type: ignore[arg-type]
        if get_origin(option) is tuple and isinstance(value, list):
            item = get_args(option)[0]
            return tuple(_clean(v, item, f"{origin}[{i}]", error) for i, v in enumerate(value))
        if option is float and isinstance(value, str):
            with suppress(ValueError):
                return float(value)
    return value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; an integer is a float, but a bool is no number."""
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return any(_fits(value, option) for option in arguments)
    if kind is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[-1] is Ellipsis:
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(
            _fits(item, option) for item, option in zip(value, arguments, strict=True)
        )
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind or hint)


def _described(hint: Any) -> str:
    """An annotated type in the words of YAML."""
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return " or ".join("null" if option is types.NoneType else _described(option) for option in arguments)
    if kind is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"a list of {count}{_described(arguments[0])}"
    return "a mapping" if is_dataclass(hint) else (kind or hint).__name__
