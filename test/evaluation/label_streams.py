"""Streams of predictions and labels to judge metrics on: random ones, and a real drive."""

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

CAMVID = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "val"
needs_camvid = pytest.mark.skipif(not CAMVID.is_dir(), reason=f"the CamVid validation drive is not at {CAMVID}")
SHAPE = (1, 5)


class Step(NamedTuple):
    """A frame of a stream, and what comes just before it."""

    pred: np.ndarray
    truth: np.ndarray | None
    before: str = ""


def frame(*ids: int) -> np.ndarray:
    return np.array([ids], np.uint8)


# Few classes that mostly stay, so that windows have pixels at rest.
ids = st.sampled_from([0, 0, 0, 0, 1, 255])
maps = arrays(np.uint8, SHAPE, elements=ids, fill=st.just(0))
steps = st.builds(
    Step,
    maps,
    st.one_of(maps, maps, maps, maps, maps, st.none()),
    st.sampled_from(["", "", "", "", "", "", "gap", "video"]),
)
streams = st.lists(steps, max_size=25)


def runs_of(stream: list[Step]) -> list[list[list[Step]]]:
    """Videos, each a list of runs of labelled frames without a break."""
    videos: list[list[list[Step]]] = [[[]]]
    for step in stream:
        if step.before == "video":
            videos.append([[]])
        elif step.before == "gap":
            videos[-1].append([])
        if step.truth is None:
            videos[-1].append([])
        else:
            videos[-1][-1].append(step)
    return videos


def mean(values: list[float]) -> float:
    values = [v for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else math.nan


def drive_labels() -> list[np.ndarray]:
    return [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted((CAMVID / "labels").iterdir())]
