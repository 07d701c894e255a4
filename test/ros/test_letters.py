"""Images are converted once, while others are segmented, and the newest is what is converted."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from t2g_ros.cores import cores
from t2g_ros.errors import InputError
from t2g_ros.ros.images import to_image
from t2g_ros.ros.letters import EarlyConversion, Letter, leaves_cores_free
from t2g_ros.ros.mailbox import Mailbox
from t2g_ros.runtimes import load_runtime

from .bench import picture

FULL_HD = (1080, 1920)


def jpeg(index: int = 0, size: tuple[int, int] = FULL_HD) -> Letter:
    msg = CompressedImage(format="rgb8; jpeg compressed bgr8")
    msg.data = cv2.imencode(".jpg", picture(index, size))[1].tobytes()
    return Letter(msg, "/image_raw/compressed")


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def mailbox() -> Mailbox[Letter]:
    return Mailbox()


@pytest.fixture
def conversion(mailbox: Mailbox[Letter]) -> Iterator[EarlyConversion]:
    conversion = EarlyConversion(mailbox)
    yield conversion
    assert conversion.stop(60)


def test_an_image_is_converted_once(mailbox: Mailbox[Letter], conversion: EarlyConversion) -> None:
    letter = jpeg()
    mailbox.put(letter)
    conversion.wake()
    until(lambda: letter.convert_ms)
    took = letter.convert_ms
    assert mailbox.take() is letter
    assert letter.frame() is letter.frame()
    assert letter.convert_ms == took
    assert letter.frame().size == FULL_HD


def test_whoever_takes_an_image_that_nobody_converted_does_it() -> None:
    letter = jpeg(1)
    assert letter.convert_ms == 0
    assert letter.frame().size == FULL_HD
    assert letter.convert_ms > 0


def test_of_a_burst_the_newest_is_converted_and_few_others(
    mailbox: Mailbox[Letter], conversion: EarlyConversion
) -> None:
    letters = [jpeg(index) for index in range(30)]
    for letter in letters:
        mailbox.put(letter)
        conversion.wake()
    until(lambda: letters[-1].convert_ms)
    assert sum(letter.convert_ms > 0 for letter in letters) < len(letters) / 2
    assert mailbox.peek() is letters[-1]


def test_a_bad_image_is_left_to_whoever_takes_it_and_harms_no_other(
    mailbox: Mailbox[Letter], conversion: EarlyConversion
) -> None:
    bad = Letter(Image(encoding="rgb8", height=3, width=3), "/image_raw")
    mailbox.put(bad)
    conversion.wake()
    good = Letter(to_image(picture(), Header()), "/image_raw")
    time.sleep(0.1)
    assert mailbox.take() is bad
    for _ in range(2):
        with pytest.raises(InputError, match="/image_raw: found a step of 0 bytes"):
            bad.frame()
    mailbox.put(good)
    conversion.wake()
    until(lambda: good.convert_ms)
    np.testing.assert_array_equal(good.frame().rgb, picture())


def test_engines_on_all_cores_convert_for_themselves(random_model: Path) -> None:
    runtime = load_runtime(random_model, device="cpu", threads=1)
    assert not leaves_cores_free(runtime, 0)
    assert not leaves_cores_free(runtime, cores())
    assert leaves_cores_free(runtime, 1) == (cores() > 1)
