"""Augmentation that is shared by a clip: one crop, one colour change, and a camera motion for stills."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from t2g_ros.labels import IGNORE
from t2g_ros.training.clip import RawClip, TrainClip
from t2g_ros.training.weather import Weather

CROP_TRIES = 10
"""Crops that are tried for one that shows what it should (mmsegmentation's and DAFormer's value)."""
WANTED_SHARE = 0.01
"""Share of a crop that shows the wanted class well enough (about DAFormer's 3,000 of 512 x 512 pixels)."""
SHRINK = 1.5
"""An image shrunk by more than this is averaged down first: sampling it would alias, and aliasing flickers."""


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges of the random changes."""

    crop: tuple[int, int] = (320, 640)
    """(height, width) of what the network sees."""
    scale: tuple[float, float] = (0.5, 1.15)
    """Size of the whole image relative to the model's input size."""
    aspect: float = 0.25
    """The width is multiplied by exp(u), u uniform in [-aspect, aspect]: cameras differ in shape."""
    reverse: float = 0.5
    """Probability of playing the clip backwards."""
    weather: float = 0.0
    """Probability of haze, falling specks or blotches on the lens."""
    compression: float = 0.0
    """Probability of JPEG artefacts, which flicker as a camera's do."""
    max_class_share: float = 1.0
    """Crops of which one class covers more are drawn again (`cat_max_ratio` of mmsegmentation, 0.75 there)."""


def augment_clip(
    clip: RawClip, input_size: tuple[int, int], config: AugmentConfig, rng: np.random.Generator
) -> TrainClip:
    """Cut, flip, recolour and, for stills, move one clip; every frame through one affine warp.

    `input_size` is the model's (height, width): a scale of 1 shows things as large as in deployment.
    """
    height, width = clip.images[0].shape[:2]
    base = _crop_matrix(clip, input_size, config, rng)
    motion = _Motion(rng) if clip.needs_motion else None
    colour = _Colour(rng)
    h, w = config.crop
    weather = Weather(rng, (h, w)) if rng.random() < config.weather else None
    quality = int(rng.integers(40, 95)) if rng.random() < config.compression else None
    order = range(len(clip.images))
    if rng.random() < config.reverse:
        order = order[::-1]
    images, labels = [], []
    for index in order:
        matrix = base
        if motion is not None:
            matrix = base @ motion.matrix(float(clip.times_s[index] - clip.times_s[0]), (height, width))
        image = _warp(clip.images[index], matrix, (w, h))
        warped = cv2.warpAffine(
            clip.labels[index],
            matrix[:2],
            (w, h),
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=IGNORE,
        )
        if weather is not None:
            image = weather(image, rng)
        image = colour(image, rng)
        images.append(image if quality is None else _compressed(image, quality))
        labels.append(warped[::2, ::2])
    times = clip.times_s[list(order)] * order.step
    times = times - times[0]
    return TrainClip(np.stack(images), np.stack(labels), times, clip.space, seed=int(rng.integers(2**62)))


def _warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Warp an image into a crop of (width, height); the border is mirrored."""
    scale = np.sqrt(np.square(matrix[:2, :2]).sum(axis=0).max())  # of the axis that is shrunk less
    if scale * SHRINK < 1:
        h, w = image.shape[:2]
        image = cv2.resize(image, (round(w * scale), round(h * scale)), interpolation=cv2.INTER_AREA)
        fx, fy = image.shape[1] / w, image.shape[0] / h
        # From the shrunk image's pixel centres to those of the whole one.
        matrix = matrix @ np.array([[1 / fx, 0, 0.5 / fx - 0.5], [0, 1 / fy, 0.5 / fy - 0.5], [0, 0, 1]])
    return cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _crop_matrix(
    clip: RawClip, input_size: tuple[int, int], config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """Draw crops until one shows what it should; after `CROP_TRIES` take the one that comes nearest."""
    labels, (h, w) = clip.labels[clip.anchor], config.crop
    best, best_share = np.eye(3), -1.0
    for _ in range(CROP_TRIES):
        matrix = _base_matrix((labels.shape[0], labels.shape[1]), input_size, config, rng)
        if clip.wanted_class is None and config.max_class_share >= 1:
            return matrix
        quarter = np.diag([0.25, 0.25, 1.0]) @ matrix
        seen = cv2.warpAffine(labels, quarter[:2], (w // 4, h // 4), flags=cv2.INTER_NEAREST, borderValue=IGNORE)
        counts = np.bincount(seen.ravel(), minlength=256)
        labelled = max(counts[:IGNORE].sum(), 1)
        share = 1.0 if clip.wanted_class is None else counts[clip.wanted_class] / seen.size
        varied = counts[:IGNORE].max() <= config.max_class_share * labelled
        if varied and share >= WANTED_SHARE:
            return matrix
        if share * varied > best_share:
            best, best_share = matrix, share * varied
    return best


def _base_matrix(
    size: tuple[int, int], input_size: tuple[int, int], config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """Source pixels -> crop pixels, (3, 3): resize, stretch, random crop, random flip."""
    scale = np.exp(rng.uniform(*np.log(config.scale)))
    sx = scale * input_size[1] / size[1] * np.exp(rng.uniform(-config.aspect, config.aspect))
    sy = scale * input_size[0] / size[0]
    # Room to move the crop; where the image is smaller than the crop it is placed at random inside.
    tx = rng.uniform(*sorted((0.0, config.crop[1] - sx * size[1])))
    ty = rng.uniform(*sorted((0.0, config.crop[0] - sy * size[0])))
    matrix = np.array([[sx, 0, tx], [0, sy, ty], [0, 0, 1.0]])
    if rng.random() < 0.5:
        matrix = np.array([[-1, 0, config.crop[1] - 1.0], [0, 1, 0], [0, 0, 1]]) @ matrix
    return matrix


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """The image after JPEG; the order of the channels does not matter."""
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))


class _Motion:
    """A camera that drives towards a point near the horizon: zoom, shift and roll growing with time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.zoom_per_s = rng.normal(0.0, 0.25)
        self.shift_per_s = rng.normal(0.0, (0.12, 0.03))  # in image widths and heights
        self.roll_per_s = rng.normal(0.0, 0.03)
        self.focus = rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.6)
        self.shake = rng.normal(0.0, 0.002, (64, 2))

    def matrix(self, t: float, size: tuple[int, int]) -> np.ndarray:
        h, w = size
        cx, cy = self.focus[0] * w, self.focus[1] * h
        zoom, roll = np.exp(np.clip(self.zoom_per_s * t, -0.6, 0.6)), self.roll_per_s * t
        cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
        shake = self.shake[round(t * 30) % len(self.shake)]
        dx, dy = (np.clip(self.shift_per_s * t, -0.3, 0.3) + shake) * (w, h)
        return np.array(
            [
                [cos, -sin, cx - cos * cx + sin * cy + dx],
                [sin, cos, cy - sin * cx - cos * cy + dy],
                [0, 0, 1],
            ]
        )


class _Colour:
    """Exposure, contrast, gamma, white balance, saturation, blur and noise; only the noise differs by frame."""

    def __init__(self, rng: np.random.Generator) -> None:
        gain = np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.06, 3))
        gamma, contrast, offset = np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.15)), rng.normal(0, 10)
        levels = np.arange(256)[:, None] / 255.0
        curve = ((levels**gamma * gain - 0.5) * contrast + 0.5) * 255 + offset
        self.table = np.clip(curve, 0, 255).astype(np.uint8)[None]  # (1, 256, 3)
        self.saturation = float(np.clip(rng.normal(1.0, 0.25), 0.0, 2.0))
        self.blur = rng.uniform(0.4, 1.2) if rng.random() < 0.2 else 0.0
        self.noise = rng.uniform(1, 10) if rng.random() < 0.4 else 0.0
        self.flicker = 0.03 if rng.random() < 0.5 else 0.0  # auto exposure hunting from frame to frame

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        image = cv2.LUT(image, self.table)
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        gain = float(np.exp(rng.normal(0, self.flicker)))
        image = cv2.addWeighted(image, self.saturation * gain, grey, (1 - self.saturation) * gain, 0)
        if self.blur:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        if self.noise:
            noise = rng.standard_normal(image.shape, dtype=np.float32) * self.noise
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        return image
