"""Image files that are written are whole or not there."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import picture

from t2g_ros.errors import T2GError
from t2g_ros.sources.images import write_image


def test_a_full_disk_is_told_and_leaves_no_half_image(tmp_path: Path) -> None:
    """The system refuses to make files larger than this, as it refuses all where the disk is full."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "0.png"
    write_image(path, picture(0))
    np.testing.assert_array_equal(cv2.imread(str(path)), picture(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(T2GError, match=r"1\.png: cannot be written \(File too large\)"):
            write_image(tmp_path / "1.png", picture(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [path]
