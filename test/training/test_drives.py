from pathlib import Path

import numpy as np
import pytest
from dataset_trees import TREES, camvid32, cityscapes, kitti360

from t2g_ros.errors import InputError
from t2g_ros.labels import CAMVID11, CITYSCAPES19, DGVSS15, SPACES
from t2g_ros.training.config import ConfigError, DataConfig
from t2g_ros.training.drives import Footage, open_footage


def footage(root: Path, layout: str, model: str, *sequences: str) -> Footage:
    data = DataConfig(path=root.name, layout=layout, sequences=sequences or ("*",))
    return open_footage(data, root.parent, SPACES[model], video=True)


@pytest.mark.parametrize("layout", ["cityscapes", "kitti360", "apolloscape", "camvid32"])
def test_every_layout_of_the_protocols_teaches_its_15_classes(tmp_path: Path, layout: str) -> None:
    found = footage(TREES[layout](tmp_path / layout), layout, "dgvss15")
    assert found.space is DGVSS15
    drive = next(drive for drive in found.drives if drive.labelled.any())
    rgb, labels = drive.load(int(np.flatnonzero(drive.labelled)[0]))
    assert rgb.shape == (*labels.shape, 3)
    known = labels[labels != 255]
    assert known.size
    assert known.max() < 15


def test_finer_labels_are_brought_into_the_model_s_space(tmp_path: Path) -> None:
    """The first labels of the tree: road, void, bicycle, terrain, void, void."""
    drive = footage(cityscapes(tmp_path / "data"), "cityscapes", "dgvss15").drives[0]
    labels = drive.labels(19)
    assert labels[5, :6].tolist() == [0, 255, 255, 255, 255, 255]
    own = footage(tmp_path / "data", "cityscapes", "cityscapes19").drives[0].labels(19)
    assert own[5, :4].tolist() == [0, 255, CITYSCAPES19.id_of("bicycle"), CITYSCAPES19.id_of("terrain")]


def test_coarser_labels_stay_as_they_are(tmp_path: Path) -> None:
    assert footage(TREES["camvid11"](tmp_path / "data"), "camvid11", "cityscapes19").space is CAMVID11


def test_label_spaces_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="labels are camvid11, the model predicts dgvss15, and no mapping"):
        footage(TREES["camvid11"](tmp_path / "data"), "camvid11", "dgvss15")


def test_frames_without_labels_are_void_and_times_start_at_0(tmp_path: Path) -> None:
    drive = footage(kitti360(tmp_path / "data"), "kitti360", "dgvss15").drives[0]
    assert drive.labelled.tolist() == [False, True, False, True]
    assert drive.times_s.tolist() == pytest.approx([0, 0.1, 0.2, 0.4])
    rgb, labels = drive.load(0)
    assert labels.shape == rgb.shape[:2]
    assert (labels == 255).all()


def test_sequences_are_chosen_by_pattern(tmp_path: Path) -> None:
    root = camvid32(tmp_path / "data")
    assert [d.name for d in footage(root, "camvid32", "dgvss15", "0016E5*").drives] == ["0016E5_07959"]
    with pytest.raises(InputError, match=r"no sequence fits 0001TP\*; there are 2, such as 0016E5_07959"):
        footage(root, "camvid32", "dgvss15", "0001TP*")


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: not a folder; expected the root of cityscapes"):
        footage(tmp_path / "nowhere", "cityscapes", "dgvss15")
    with pytest.raises(ConfigError, match="layout 'bdd', expected folder or cityscapes, kitti360"):
        footage(tmp_path, "bdd", "dgvss15")
    root = cityscapes(tmp_path / "data")
    for label in root.rglob("*_labelIds.png"):
        label.unlink()
    with pytest.raises(InputError, match="none of the 3 sequence"):
        footage(root, "cityscapes", "dgvss15")


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    root = cityscapes(tmp_path / "data")
    before = footage(root, "cityscapes", "dgvss15").fingerprint()
    assert footage(root, "cityscapes", "dgvss15").fingerprint() == before
    next(root.rglob("*_labelIds.png")).unlink()
    assert footage(root, "cityscapes", "dgvss15").fingerprint() != before
