"""Corruptions over clips: the published strengths, patterns that stay, and images of any size.

Published brightness and coverage are what imagecorruptions-imaug 1.1.5 gives over grey 100 at 640x320, the mean over
100 seeds.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from t2g_ros.errors import InputError
from t2g_ros.evaluation.corruptions import FAMILIES, SEVERITIES, Corruption

DRIVE = Path(__file__).parents[1] / "data" / "drive" / "images"
ALL = pytest.mark.parametrize("severity", SEVERITIES)
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def drive() -> list[np.ndarray]:
    """Three frames of the rendered drive, seconds apart."""
    paths = sorted(DRIVE.glob("*.jpg"))[::30]
    assert len(paths) == 3
    return [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]


def flat(value: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def mean_difference(clean: np.ndarray, corrupted: np.ndarray) -> float:
    return float(np.abs(corrupted.astype(int) - clean).mean())


def lost_structure(clean: np.ndarray, corrupted: np.ndarray) -> float:
    """1 - SSIM (Wang et al. 2004) over windows of the size of things on the road."""

    def blur(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), 8)

    a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (clean, corrupted))
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float(1 - (luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)).mean())


@EVERY_FAMILY
def test_a_higher_severity_is_farther_from_the_clean_image(drive: list[np.ndarray], family: str) -> None:
    # What snow does most is whiten; the others change brightness little, or up and down, and cover what is there.
    distance = mean_difference if family == "snow" else lost_structure
    steps = []
    for severity in SEVERITIES:
        corruptions = [Corruption(family, severity, seed) for seed in range(3)]
        steps.append(np.mean([distance(frame, corrupt(frame)) for corrupt in corruptions for frame in drive]))
    assert steps[0] > 0
    assert (np.diff(steps) > 0).all(), steps
    assert steps[-1] > 1.5 * steps[0]


@EVERY_FAMILY
@ALL
def test_a_still_scene_stays_still(drive: list[np.ndarray], family: str, severity: int) -> None:
    corrupt = Corruption(family, severity)
    before = corrupt(drive[0])
    other = corrupt(drive[1])
    np.testing.assert_array_equal(corrupt(drive[0]), before)
    assert not np.array_equal(other, before)


@EVERY_FAMILY
@ALL
def test_the_pattern_follows_from_the_seed(drive: list[np.ndarray], family: str, severity: int) -> None:
    first, again, other = (Corruption(family, severity, seed)(drive[0]) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@EVERY_FAMILY
def test_the_pattern_does_not_depend_on_the_images(drive: list[np.ndarray], family: str) -> None:
    fresh, used = Corruption(family, 3), Corruption(family, 3)
    used(flat(0, drive[0].shape[:2]))  # the darkest image first
    np.testing.assert_array_equal(used(drive[2]), fresh(drive[2]))
    used(flat(128, (50, 70)))  # a clip of another size in between
    np.testing.assert_array_equal(used(drive[2]), fresh(drive[2]))


@EVERY_FAMILY
@pytest.mark.parametrize("severity", [2, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (2, 2), (3, 5), (97, 301), (301, 97), (64, 64)])
def test_every_size(family: str, severity: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    kept = image.copy()
    corrupted = Corruption(family, severity)(image)
    assert corrupted.shape == image.shape
    assert corrupted.dtype == np.uint8
    np.testing.assert_array_equal(image, kept)
    assert not np.shares_memory(corrupted, image)


@EVERY_FAMILY
def test_views_and_read_only_images(drive: list[np.ndarray], family: str) -> None:
    corrupt = Corruption(family, 2)
    mirrored, cut = drive[0][:, ::-1], drive[0][10:200, 5:405]
    np.testing.assert_array_equal(corrupt(mirrored), corrupt(mirrored.copy()))
    np.testing.assert_array_equal(corrupt(cut), corrupt(cut.copy()))
    locked = drive[0].copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(corrupt(locked), corrupt(drive[0]))


@pytest.mark.parametrize(
    ("family", "share_left"),
    [
        ("fog", [1 / 2.5, 1 / 3, 1 / 3.5, 1 / 3.5, 1 / 4]),
        ("frost", [1, 0.8, 0.7, 0.65, 0.6]),
    ],
)
def test_the_published_share_of_the_image_is_left(family: str, share_left: list[float]) -> None:
    for severity, share in zip(SEVERITIES, share_left, strict=True):
        corrupt = Corruption(family, severity)
        darker, brighter = corrupt(flat(20)).astype(int), corrupt(flat(60)).astype(int)
        whole = (brighter < 255).all(axis=2)
        assert whole.mean() > 0.5
        np.testing.assert_allclose((brighter - darker)[whole], 40 * share, atol=1)


@pytest.mark.parametrize(
    ("severity", "mean", "deviation"),
    [(1, 116.5, 20.2), (2, 118.4, 22.5), (3, 119.5, 25.8), (4, 119.6, 27.3), (5, 121.1, 29.5)],
)
def test_fog_has_the_published_brightness(severity: int, mean: float, deviation: float) -> None:
    # Clouds differ much from seed to seed.
    fogs = [Corruption("fog", severity, seed)(flat(100, (320, 640))) for seed in range(40)]
    assert np.mean(fogs) == pytest.approx(mean, abs=15)
    assert np.mean([one.std() for one in fogs]) == pytest.approx(deviation, rel=0.25)


@pytest.mark.parametrize(
    ("severity", "mean", "deviation"), [(1, 142, 17.5), (2, 173, 25.5), (3, 172, 28.5), (4, 189, 32.6), (5, 208, 24.3)]
)
def test_snow_has_the_published_brightness(severity: int, mean: float, deviation: float) -> None:
    snows = [Corruption("snow", severity, seed)(flat(100, (320, 640))) for seed in range(5)]
    assert np.mean(snows) == pytest.approx(mean, abs=5)
    assert np.mean([one.std() for one in snows]) == pytest.approx(deviation, rel=0.1)


def test_snow_falls_in_streaks() -> None:
    streaks = Corruption("snow", 5)(flat(0, (256, 256)))[..., 0].astype(np.float64)
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(streaks - streaks.mean()))) ** 2
    y, x = np.mgrid[-128:128, -128:128]
    # A flake alone is as wide as high; a streak has most of its detail across its own direction.
    turn = np.exp(2j * np.arctan2(y, x))
    assert abs((spectrum * turn).sum()) > 0.5 * spectrum.sum()


@pytest.mark.parametrize(("severity", "covered"), [(1, 0.030), (2, 0.134), (3, 0.213), (4, 0.122), (5, 0.196)])
def test_spatter_covers_the_published_share(severity: int, covered: float) -> None:
    shares = []
    for seed in range(5):
        image = Corruption("spatter", severity, seed)(flat(100, (320, 640)))
        changed = (image != 100).any(axis=2)
        shares.append(changed.mean())
        if severity <= 3:
            assert (image >= 100).all()  # water shines
        else:
            assert (image <= 100).all()  # mud is dark
            deep = image[changed].min(axis=0)
            np.testing.assert_allclose(deep, (63, 42, 20), atol=1)
    assert np.mean(shares) == pytest.approx(covered, rel=0.15)


def test_frost_grows_with_the_image() -> None:
    small, large = (Corruption("frost", 1)(flat(0, size)) for size in ((180, 320), (720, 1280)))
    shrunk = cv2.resize(large, (320, 180), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.9


def test_frost_is_crystals_and_not_haze() -> None:
    ice = Corruption("frost", 5)(flat(0, (720, 1280)))[..., 1].astype(np.float32)
    fine = ice - cv2.GaussianBlur(ice, (0, 0), 3)
    assert fine.std() > 0.15 * ice.std()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rain", 1), "corruption 'rain': expected one of fog, frost, snow, spatter"),
        (("fog", 0), "severity is 0, expected 1 to 5"),
        (("fog", 6), "severity is 6, expected 1 to 5"),
        (("fog", 1, -1), "seed is -1, expected 0 or more"),
    ],
)
def test_what_there_is_not_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Corruption(*arguments)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected uint8 \(H, W, 3\)"):
        Corruption("fog", 1)(frame)
