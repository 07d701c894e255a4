"""A procedural drive: any instant of it as an image with its exact labels."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from t2g_ros.labels import CITYSCAPES19
from t2g_ros.training.synthetic import backdrop
from t2g_ros.training.synthetic.blocks import Block, build_block
from t2g_ros.training.synthetic.camera import Ego
from t2g_ros.training.synthetic.lens import Lens
from t2g_ros.training.synthetic.parade import Parade
from t2g_ros.training.synthetic.raster import SUPERSAMPLE, paint, painting_order
from t2g_ros.training.synthetic.sampling import Samples
from t2g_ros.training.synthetic.shading import Shader
from t2g_ros.training.synthetic.shadows import Shadows
from t2g_ros.training.synthetic.street import Street, has_trams
from t2g_ros.training.synthetic.styles import draw_style
from t2g_ros.training.synthetic.surfaces import joined
from t2g_ros.training.synthetic.traffic import BEHIND_M, Traffic

BLOCKS_KEPT = 12
SEEN_M = 200.0


class Drive:
    """One street, its traffic and the car that drives along it, all drawn from `seed`.

    The world is a function of time alone: a frame is the same however many were rendered before it and at
    whatever rate. The labels depend on `seed` and time only; `style` changes nothing but the image.

    Args:
        seed: number of the drive, 0 or more.
        style: one of STYLES.
        size: (h, w) of image and labels.
        seen_m: metres ahead of the camera that the street is built; most of the time goes into that.

    Raises:
        ValueError: there is no such style.
    """

    def __init__(self, seed: int, style: str, size: tuple[int, int] = (256, 480), seen_m: float = SEEN_M) -> None:
        self.seed, self.size, self.seen_m = seed, size, seen_m
        self.style = draw_style(style, seed)
        rng = np.random.default_rng((seed, 1))
        self.street = Street.draw(rng, has_trams(seed))
        lane = int(rng.integers(self.street.lanes))
        self.ego = Ego(rng, self.street.drives_on * (lane + 0.5) * self.street.lane_m)
        self.traffic: Traffic | Parade = Traffic(seed, self.street, self.ego)
        self.lens = Lens(seed, self.style)
        self._distance = backdrop.build(seed, self.street)
        self._blocks: OrderedDict[int, Block] = OrderedDict()

    def render(self, t_s: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the (h, w, 3) RGB image and the (h, w) Cityscapes-19 ids at `t_s` seconds."""
        view = self.ego.view(t_s, self.size)
        first = int((view.position[2] - BEHIND_M) // self.street.block_m)
        last = int((view.position[2] + self.seen_m) // self.street.block_m)
        blocks = [self._block(i) for i in range(first, last + 1)]
        far = self._distance.copy()
        far["points"][..., 2] += np.float32(view.position[2])
        far["anchor"][:, 1] += np.float32(view.position[2])
        world = joined([*(b.surfaces for b in blocks), *self.traffic.at(t_s)])
        near = np.abs(world["anchor"][:, 1] - view.position[2] - 0.5 * SEEN_M) < 0.5 * SEEN_M + BEHIND_M
        world = world[near | (world["layer"] > 0)]
        sky, rest = far[:1], joined([far[1:], world])
        surfaces = joined([sky, rest[painting_order(rest, view, self.street.strips_x)]])

        buffer = paint(surfaces, view)
        # The top left sample of each pixel: labels are never a mixture.
        labels = surfaces["label"][buffer[::SUPERSAMPLE, ::SUPERSAMPLE]]
        shadows = None
        if self.style.sun.any():
            heights = np.concatenate([b.skyline for b in blocks], axis=1).astype(np.float32)
            z0, z = first * self.street.block_m, float(view.position[2])
            shadows = Shadows(surfaces, self.style.sun_towards, self.street, heights, z0, z)
        light, depth = Shader(surfaces, view, self.street, shadows, self.style).image(Samples.of(buffer))
        wet = np.isin(labels, [CITYSCAPES19.id_of("road"), CITYSCAPES19.id_of("sidewalk")]).astype(np.float32)
        return self.lens.expose(light, depth, wet, view, t_s), labels

    def _block(self, index: int) -> Block:
        if index not in self._blocks:
            self._blocks[index] = build_block(self.seed, self.street, index)
            if len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return self._blocks[index]


def render_clip(
    seed: int, style: str, times_s: NDArray[np.floating], size: tuple[int, int] = (256, 480)
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Render one drive at the given times; returns the images and the labels.

    Raises:
        ValueError: there is no such style.
    """
    drive = Drive(seed, style, size)
    frames = [drive.render(float(t)) for t in times_s]
    return [rgb for rgb, _ in frames], [labels for _, labels in frames]
