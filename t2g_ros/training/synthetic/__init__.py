"""Procedural drives: street scenes with exact Cityscapes-19 labels at any time, in several domains."""

from t2g_ros.training.synthetic.drive import Drive, render_clip
from t2g_ros.training.synthetic.styles import STYLES

__all__ = ["STYLES", "Drive", "render_clip"]
