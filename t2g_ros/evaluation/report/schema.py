"""The documentation of metrics.json, for people and programs: a JSON Schema with a sentence on every key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA = "t2g_ros.evaluation/2"
"""What `schema` says in every metrics.json of this version."""


def load_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of metrics.json."""
    schema: dict[str, Any] = json.loads((Path(__file__).with_name("metrics.schema.json")).read_text("utf-8"))
    return schema
