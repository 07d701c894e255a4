"""YAML files into config dataclasses: every key and type checked, single keys overridable."""

from __future__ import annotations

import types
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from t2g_ros.errors import T2GError

Config = TypeVar("Config")


class ConfigError(T2GError):
    """A training config names an unknown key or holds a value of the wrong kind."""


def read_values(path: Path) -> dict[str, Any]:
    """Read a YAML file, on top of the one that it names as its `base`.

    Raises:
        ConfigError: a file cannot be read, is no mapping, or names a base in another folder.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"training config {path}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"training config {path}: found {type(values).__name__}, expected a mapping")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str) or Path(base).name != base or base == path.name:
        # Relative paths start at the folder of a config: in two folders they would mean two things.
        raise ConfigError(f"training config {path}: base is {base!r}, expected the name of another file in its folder")
    return _merged(read_values(path.with_name(base)), values)


def _merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    both = {k: _merged(base[k], v) for k, v in values.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return base | values | both


def build(kind: type[Config], values: Any, where: str) -> Config:
    """Make a config dataclass of a mapping; lists become tuples, and 1e-4, a string to YAML, a number.

    Raises:
        ConfigError: it is no mapping, a key is unknown or missing, or a value is of another type.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: found {values!r}, expected a mapping")
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in set(values) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown key(s) {unknown}; known keys are {sorted(known)}")
    hints = get_type_hints(kind)
    clean = {key: _clean(value, hints[key]) for key, value in values.items()}
    for key, value in clean.items():
        if not _fits(value, hints[key]):
            expected = getattr(hints[key], "__name__", "") if not get_args(hints[key]) else str(hints[key])
            raise ConfigError(f"{where}: {key} is {values[key]!r}, expected {expected}")
    try:
        return kind(**clean)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def _clean(value: Any, hint: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if hint is float and isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; an integer is a float, but a bool is no number."""
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        if not isinstance(value, tuple):
            return False
        if kinds[-1] is Ellipsis:
            return all(_fits(item, kinds[0]) for item in value)
        return len(value) == len(kinds) and all(_fits(item, kind) for item, kind in zip(value, kinds, strict=True))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def override(values: dict[str, Any], text: str) -> None:
    """Apply one `key=value`: dots reach into sections, numbers into lists, and the value is YAML.

    Raises:
        ConfigError: it has no `=`, or a part of the key is no section or no place of a list.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"override '{text}': expected key=value")
    *sections, last = key.split(".")
    target: Any = values
    for section in sections:
        inside = isinstance(target, list)
        target = target[_place(target, section, text)] if inside else target.setdefault(section, {})
        if not isinstance(target, (dict, list)):
            raise ConfigError(f"override '{text}': '{section}' is not a section")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"override '{text}': the value is not YAML ({error})") from error
    target[_place(target, last, text) if isinstance(target, list) else last] = parsed


def _place(items: list[Any], section: str, text: str) -> int:
    if not section.isdigit() or int(section) >= len(items):
        raise ConfigError(f"override '{text}': '{section}' is no place in a list of {len(items)}")
    return int(section)
