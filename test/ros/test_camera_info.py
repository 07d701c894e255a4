"""A scaled calibration projects every point to the place in the mask where the image had it."""

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from t2g_ros.ros.camera_info import fits, problem_with, scaled


def camera() -> CameraInfo:
    info = CameraInfo(width=640, height=480, d=[0.1, 0.0, 0.0, 0.0, 0.0])
    info.k = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]
    info.p = [480.0, 0.0, 318.0, -24.0, 0.0, 490.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def test_points_project_to_the_scaled_pixels() -> None:
    out = scaled(camera(), (480, 640), (256, 1024), Header(frame_id="optical"))
    points = np.array([[1.0, 2.0, 5.0, 1.0], [-3.0, 0.5, 9.0, 1.0]])
    factors = np.array([1024 / 640, 256 / 480])
    for matrix, shape, world in ((lambda m: m.k, (3, 3), points[:, :3]), (lambda m: m.p, (3, 4), points)):
        before, after = (world @ np.reshape(matrix(info), shape).T for info in (camera(), out))
        np.testing.assert_allclose(after[:, :2] / after[:, 2:], before[:, :2] / before[:, 2:] * factors)
    assert (out.width, out.height, out.header.frame_id) == (1024, 256, "optical")
    assert out.d == camera().d


def test_the_cameras_own_message_is_left_alone() -> None:
    info = camera()
    scaled(info, (480, 640), (240, 320), Header(frame_id="optical"))
    assert info == camera()


def test_at_the_same_size_only_the_header_changes() -> None:
    out = scaled(camera(), (480, 640), (480, 640), Header(frame_id="optical"))
    assert out.header.frame_id == "optical"
    out.header = camera().header
    assert out == camera()


def test_a_calibration_of_another_size_does_not_fit() -> None:
    assert fits(camera(), (480, 640))
    assert not fits(camera(), (240, 320))
    assert fits(CameraInfo(), (240, 320))  # says nothing of the size
    binned = camera()
    binned.binning_x = binned.binning_y = 2
    assert fits(binned, (240, 320))
    binned.roi.width, binned.roi.height = 200, 100
    assert fits(binned, (50, 100))


def test_numbers_that_are_none_are_found() -> None:
    assert problem_with(camera()) is None
    for key, value in (("k", np.nan), ("p", np.inf), ("r", -np.inf), ("d", np.nan)):
        info = camera()
        getattr(info, key)[0] = value
        assert f"found {key} = [" in str(problem_with(info))


def test_a_region_far_outside_is_scaled_to_what_the_message_holds() -> None:
    info = camera()
    info.roi.x_offset = info.roi.width = 2**32 - 1
    out = scaled(info, (480, 640), (960, 1280), Header())
    assert (out.roi.x_offset, out.roi.width) == (2**32 - 1, 2**32 - 1)
