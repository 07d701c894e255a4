"""From the config of a source to the source."""

from __future__ import annotations

from pathlib import Path

from t2g_ros.labels import CITYSCAPES19, space
from t2g_ros.training.clips import (
    STRIDES,
    VIDEO_STRIDES,
    ClipSource,
    Paster,
    RenderedClips,
    StillClips,
    VideoClips,
)
from t2g_ros.training.config import SourceConfig, TrainConfig
from t2g_ros.training.copy_paste import Donors
from t2g_ros.training.drives import Footage, labelled_frames, open_footage, supervision
from t2g_ros.training.rare_classes import RareClassSampler, count_classes
from t2g_ros.training.rendered_movers import RenderedMovers
from t2g_ros.training.side_mix import SideMix
from t2g_ros.training.synthetic import render_clip


def open_sources(config: TrainConfig, base: Path, cache: Path | None = None) -> list[ClipSource]:
    """Open the sources of a run; relative paths start at `base`.

    Args:
        config: the run.
        base: folder that relative paths start from.
        cache: folder for what is counted in large data sets; None counts anew every time.

    Raises:
        ConfigError: a layout is unknown, or label spaces do not fit.
        InputError: the data is not as described; the message names the file.
    """
    return [_open(source, config, base, cache) for source in config.sources]


def _open(source: SourceConfig, config: TrainConfig, base: Path, cache: Path | None) -> ClipSource:
    model_space = space(config.model.labels)
    if source.kind == "rendered":
        labels, table = supervision(CITYSCAPES19, model_space, "rendered drives")
        return RenderedClips(render_clip, source.styles, source.seeds, labels, table, source.strides or STRIDES)
    footage = open_footage(source, base, model_space, video=source.kind == "video")
    rare = _rare_classes(source, config, footage, cache) if config.rare_class_temperature > 0 else None
    if source.kind == "video":
        return VideoClips(footage, source.strides or VIDEO_STRIDES, rare)
    pasted: list[tuple[Paster, float]] = []
    if source.mix:
        pasted.append((SideMix(labelled_frames(footage.drives)), source.mix))
    if source.paste and rare is not None:
        pasted.append((Donors(footage.space, rare), source.paste))
    if source.paste_rendered:
        _, table = supervision(CITYSCAPES19, footage.space, f"rendered drives, pasted into {base / source.path}")
        pasted.append((RenderedMovers(source.seeds, table), source.paste_rendered))
    return StillClips(footage, source.strides or STRIDES, rare, pasted)


def _rare_classes(source: SourceConfig, config: TrainConfig, footage: Footage, cache: Path | None) -> RareClassSampler:
    """Sampler over a source's labelled frames; only counts of data that is read from disk are worth keeping."""
    file = None
    if cache is not None and source.layout != "folder":
        file = cache / f"classes_{footage.fingerprint()[:16]}_{footage.space.name}.safetensors"
    frames = labelled_frames(footage.drives)
    counts = count_classes(frames, len(footage.space), config.workers, file)
    return RareClassSampler(frames, counts, config.rare_class_temperature)
