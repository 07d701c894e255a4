"""Grey textures for every kind of surface, drawn once and kept in one atlas with all their mip levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 256
LEVELS = 6
FLAT, ASPHALT, GRASS, LEAVES, BRICK, PAVING, PLASTER, STONE, FENCE, CLOUDS, SIGN, SHOP, GLASS, PLANKS = range(14)
FACADES = tuple(range(14, 22))
"""Each shows 4 x 4 bays of one window style."""


def _noise(rng: np.random.Generator, cells: int, octaves: int, falloff: float = 0.5) -> NDArray[np.float32]:
    """Periodic value noise of zero mean, about -1..1."""
    out = np.zeros((SIZE, SIZE), np.float32)
    for k in range(octaves):
        n = min(cells << k, SIZE)
        grid = np.pad(rng.uniform(-1, 1, (n, n)).astype(np.float32), 2, mode="wrap")
        step = SIZE // n
        big = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        out += falloff**k * big[2 * step : 2 * step + SIZE, 2 * step : 2 * step + SIZE]
    return out


def _bricks(rng: np.random.Generator, rows: int, columns: int, joint_px: int) -> tuple[NDArray, NDArray]:
    """(brightness of each brick, mask of the joints)."""
    luma, joints = np.ones((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    height, width = SIZE // rows, SIZE // columns
    for r in range(rows):
        shift = width // 2 if r % 2 else 0
        for c in range(columns):
            cols = (np.arange(c * width, (c + 1) * width) + shift) % SIZE
            luma[r * height : (r + 1) * height, cols] = rng.uniform(0.85, 1.12)
            joints[r * height : (r + 1) * height, cols[:joint_px]] = 1
        joints[r * height : r * height + joint_px] = 1
    return luma, joints


def _facade(rng: np.random.Generator, style: int) -> NDArray[np.float32]:
    """4 x 4 bays (luma, glass, lit); row 0 of a tile is its foot."""
    bay = SIZE // 4
    luma = 1 + 0.06 * _noise(rng, 4, 5)
    if style % 2:
        courses, joints = _bricks(rng, 32, 16, 1)
        luma = luma * courses * (1 - 0.25 * joints)
    glass, lit = np.zeros_like(luma), np.zeros_like(luma)
    wide, high = ((24, 38), (34, 34), (52, 30), (18, 42), (40, 44), (28, 30), (60, 36), (22, 36))[style]
    for row in range(4):
        if style in (0, 4, 7):  # a cornice between the floors
            luma[row * bay : row * bay + 3] *= 0.75
            luma[row * bay + 3 : row * bay + 6] *= 1.2
        for col in range(4):
            x, y = col * bay + (bay - wide) // 2, row * bay + (bay - high) // 2
            cv2.rectangle(luma, (x - 3, y - 3), (x + wide + 2, y + high + 2), 1.35, -1)
            cv2.rectangle(luma, (x - 4, y - 6), (x + wide + 3, y - 4), 0.6, -1)
            shine = np.linspace(0.5, 1.6, high, dtype=np.float32)[:, None] * rng.uniform(0.6, 1.5)
            luma[y : y + high, x : x + wide] = shine
            glass[y : y + high, x : x + wide] = 1
            if rng.random() < 0.35:
                lit[y : y + high, x : x + wide] = rng.uniform(0.4, 1.0)
            if rng.random() < 0.4:  # a blind
                drop = int(rng.uniform(0.2, 0.9) * high)
                glass[y + high - drop : y + high, x : x + wide] = 0.35
                luma[y + high - drop : y + high, x : x + wide] = 1.1
            glass[y : y + high, x + wide // 2 - 1 : x + wide // 2 + 1] = 0
            if style in (0, 3, 5):
                glass[y + high * 2 // 3 : y + high * 2 // 3 + 2, x : x + wide] = 0
            if style == 5:  # shutters
                luma[y : y + high, x - 13 : x - 3] = 0.55
                luma[y : y + high, x + wide + 3 : x + wide + 13] = 0.55
            if style == 2:  # balconies
                luma[y - 8 : y + 8, x - 4 : x + wide + 4] = 0.7
                glass[y - 8 : y + 8, x - 4 : x + wide + 4] = 0
                lit[y - 8 : y + 8, x - 4 : x + wide + 4] = 0
    return np.stack([luma, glass, lit * glass], axis=-1)


def _shop(rng: np.random.Generator) -> NDArray[np.float32]:
    """Two shop windows, a door and the board above."""
    luma, glass = 1 + 0.05 * _noise(rng, 4, 5), np.zeros((SIZE, SIZE), np.float32)
    luma[200:232] = 1.5
    luma[196:200] = 0.4
    luma[210:222] += 0.5 * (_noise(rng, 32, 1)[210:222] > 0.1)
    for x0, x1, y0 in ((12, 96, 40), (108, 148, 4), (160, 246, 40)):
        glass[y0:190, x0:x1] = 1
        luma[y0:190, x0:x1] = np.linspace(0.6, 1.8, 190 - y0)[:, None] + 0.5 * _noise(rng, 16, 3)[y0:190, x0:x1]
        cv2.rectangle(luma, (x0 - 4, y0 - 4), (x1 + 3, 193), 0.5, 3)
    return np.stack([luma, glass, 0.9 * glass], axis=-1)


def _draw_tiles() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng((19, 7))
    zero = np.zeros((SIZE, SIZE), np.float32)

    def tile(luma: NDArray, mask: NDArray = zero, lit: NDArray = zero) -> NDArray[np.float32]:
        return np.stack([luma, mask, lit], axis=-1).astype(np.float32)

    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    grain = rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    cracks = np.abs(_noise(rng, 4, 4)) < 0.012
    asphalt = tile(1 + 0.13 * _noise(rng, 2, 4, 0.6) + 0.08 * grain - 0.12 * cracks)
    grass = tile(1 + 0.28 * _noise(rng, 4, 6, 0.75) + 0.10 * grain, np.clip(0.5 * _noise(rng, 2, 3), 0, 1))
    leaf = _noise(rng, 16, 5, 0.8)
    leaves = tile(1 + 0.42 * leaf, np.clip(1.2 * _noise(rng, 8, 4, 0.8) - 0.35, 0, 1))
    brick, joints = _bricks(rng, 32, 12, 2)
    slabs, gaps = _bricks(rng, 4, 4, 2)
    stones, mortar = _bricks(rng, 8, 6, 4)
    paving = tile(slabs**0.5 * (1 + 0.06 * _noise(rng, 4, 5) + 0.04 * grain), 0.6 * gaps)
    plaster = tile(1 + 0.12 * _noise(rng, 2, 5))
    stone = tile(stones * (1 + 0.16 * _noise(rng, 16, 4)), 0.8 * mortar)
    bars = ((x % 32) > 10) & ~((y > 20) & (y < 40)) & ~((y > 205) & (y < 225))
    fence = tile(1 + 0.05 * grain, bars.astype(np.float32))
    clouds = tile(1 + 0.06 * _noise(rng, 4, 5), np.clip(0.9 * _noise(rng, 2, 6, 0.6) + 0.1, 0, 1))
    text = (_noise(rng, 32, 1) > 0.15) & ((y % 64) > 20) & ((y % 64) < 46) & (x > 24) & (x < 232)
    glass = tile(0.7 + 0.9 * y / SIZE + 0.25 * _noise(rng, 2, 2))
    planks = tile((0.85 + 0.2 * rng.random(16).astype(np.float32).repeat(16))[None] * (1 + 0.1 * _noise(rng, 8, 4)))
    planks[..., 1] = (x % 16) < 2
    tiles = [tile(1 + 0.03 * _noise(rng, 4, 4)), asphalt, grass, leaves, tile(brick * (1 + 0.08 * grain), 0.7 * joints)]
    tiles += [paving, plaster, stone, fence, clouds, tile(zero + 1, text), _shop(rng), glass, planks]
    return tiles + [_facade(rng, style) for style in range(len(FACADES))]


@dataclass(frozen=True)
class Atlas:
    """All tiles at all levels in one image; a border of one wrapped pixel lets bilinear sampling run over edges."""

    image: NDArray[np.uint8]
    """(H, W, 3): brightness / 2, mask of the second colour, mask of own light at night."""
    corner: NDArray[np.float32]
    """(LEVELS, tiles, 2): x, y of a tile's first pixel."""

    def sample(self, tile: NDArray, level: NDArray, u: NDArray, v: NDArray) -> NDArray[np.uint8]:
        """Return (n, 3) values at `u`, `v` (tiles wrap at 1); all arguments are (n,)."""
        flat = level * self.corner.shape[1] + tile
        edge = np.exp2(8 - level.astype(np.float32))
        x = self.corner[..., 0].ravel()[flat] + (u - np.floor(u)) * edge - 0.5
        y = self.corner[..., 1].ravel()[flat] + (v - np.floor(v)) * edge - 0.5
        # remap takes no side beyond 32767.
        rows = -(-len(x) // 4096)
        pad = rows * 4096 - len(x)
        grid = [np.pad(a, (0, pad)).reshape(rows, 4096).astype(np.float32) for a in (x, y)]
        return cv2.remap(self.image, grid[0], grid[1], cv2.INTER_LINEAR).reshape(-1, 3)[: len(x)]


@lru_cache(1)
def atlas() -> Atlas:
    """The atlas, the same for all drives."""
    tiles = _draw_tiles()
    height = sum((SIZE >> level) + 2 for level in range(LEVELS))
    image = np.zeros((height, len(tiles) * (SIZE + 2), 3), np.uint8)
    corner = np.zeros((LEVELS, len(tiles), 2), np.float32)
    top = 0
    for level in range(LEVELS):
        edge = SIZE >> level
        for k, tile in enumerate(tiles):
            small = cv2.resize(tile, (edge, edge), interpolation=cv2.INTER_AREA)
            cell = np.pad(small * [127.5, 255, 255], ((1, 1), (1, 1), (0, 0)), mode="wrap")
            left = k * (edge + 2)
            image[top : top + edge + 2, left : left + edge + 2] = np.clip(cell, 0, 255)
            corner[level, k] = left + 1, top + 1
        top += edge + 2
    return Atlas(image, corner)
