"""The domains of a drive: light, sky, air and camera for each style, with a little variety from the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STYLES = ("day", "dusk", "night", "rain", "fog")
Rgb = NDArray[np.float32]


@dataclass(frozen=True)
class Style:
    """Colours are linear RGB; 1 is white in full light."""

    sun_towards: Rgb
    """Unit vector to the sun."""
    sun: Rgb
    ambient: Rgb
    zenith: Rgb
    horizon: Rgb
    cloud: Rgb
    cloudiness: float
    haze_m: float
    """Distance over which the air takes away 63 % of the light."""
    lamps: float
    """Strength of street lamps and of one's own headlights."""
    glow: float
    """Factor on everything that shines by itself."""
    wet: float
    rain: float
    exposure: float
    noise: float
    """Standard deviation of the sensor noise in grey levels."""
    blur_px: float
    """Of the lens, for an image 480 pixels wide."""
    saturation: float


def _rgb(*values: float) -> Rgb:
    return np.array(values, np.float32)


def draw_style(name: str, seed: int) -> Style:
    """The style `name` for one drive.

    Raises:
        ValueError: there is no such style; the message lists them.
    """
    if name not in STYLES:
        raise ValueError(f"style '{name}': expected one of {', '.join(STYLES)}")
    rng = np.random.default_rng((seed, 30, STYLES.index(name)))
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(25, 65))
    if name == "dusk":
        elevation = np.deg2rad(rng.uniform(4, 12))
    towards = _rgb(
        np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)
    )
    grey = float(rng.uniform(0.85, 1.15))
    common = {
        "sun_towards": towards,
        "exposure": float(rng.uniform(0.85, 1.2)),
        "noise": float(rng.uniform(1.0, 2.5)),
        "blur_px": float(rng.uniform(0.35, 0.6)),
        "saturation": float(rng.uniform(0.85, 1.15)),
        "cloudiness": float(rng.uniform(-0.25, 0.5)),
    }
    table: dict[str, dict] = {
        "day": {
            "sun": _rgb(1.55, 1.45, 1.3), "ambient": _rgb(0.55, 0.62, 0.74), "zenith": _rgb(0.17, 0.36, 0.78),
            "horizon": _rgb(0.8, 0.95, 1.15), "cloud": _rgb(1.35, 1.35, 1.36), "haze_m": rng.uniform(350, 900),
            "lamps": 0.0, "glow": 0.35, "wet": 0.0, "rain": 0.0,
        },
        "dusk": {
            "sun": _rgb(0.9, 0.42, 0.18), "ambient": _rgb(0.34, 0.32, 0.42), "zenith": _rgb(0.14, 0.2, 0.42),
            "horizon": _rgb(1.15, 0.58, 0.32), "cloud": _rgb(0.75, 0.42, 0.4), "haze_m": rng.uniform(250, 600),
            "lamps": 0.35, "glow": 0.8, "wet": 0.0, "rain": 0.0,
        },
        "night": {
            "sun": _rgb(0, 0, 0), "ambient": _rgb(0.035, 0.04, 0.06), "zenith": _rgb(0.008, 0.011, 0.024),
            "horizon": _rgb(0.06, 0.05, 0.055), "cloud": _rgb(0.035, 0.03, 0.035), "haze_m": rng.uniform(250, 500),
            "lamps": 1.0, "glow": 1.2, "wet": float(rng.choice([0.0, 0.5])), "rain": 0.0,
        },
        "rain": {
            "sun": _rgb(0, 0, 0), "ambient": _rgb(0.5, 0.54, 0.6) * grey, "zenith": _rgb(0.42, 0.46, 0.52) * grey,
            "horizon": _rgb(0.6, 0.64, 0.68) * grey, "cloud": _rgb(0.34, 0.37, 0.42) * grey,
            "haze_m": rng.uniform(90, 200), "lamps": 0.1, "glow": 0.7, "wet": 1.0, "rain": 1.0,
        },
        "fog": {
            "sun": _rgb(0, 0, 0), "ambient": _rgb(0.66, 0.68, 0.7) * grey, "zenith": _rgb(0.68, 0.7, 0.72) * grey,
            "horizon": _rgb(0.7, 0.72, 0.74) * grey, "cloud": _rgb(0.7, 0.71, 0.73) * grey,
            "haze_m": rng.uniform(28, 70), "lamps": 0.1, "glow": 0.7, "wet": 0.15, "rain": 0.0,
        },
    }  # fmt: skip
    overrides: dict[str, dict] = {
        "night": {"noise": float(rng.uniform(3, 6)), "exposure": float(rng.uniform(1.3, 2.0))},
        "rain": {"blur_px": float(rng.uniform(0.5, 0.8)), "cloudiness": 0.5, "saturation": 0.8},
        "fog": {"saturation": 0.85, "cloudiness": 0.0},
    }
    return Style(**{**common, **table[name], **overrides.get(name, {})})
