"""What a training config's YAML file holds: on top of another file, single keys overridden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from t2g_ros.errors import T2GError


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
