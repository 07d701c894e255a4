"""The shipped configs of the public data sets, on small trees in the official layouts."""

from pathlib import Path

import pytest
from dataset_trees import TREES, write_ids, write_image

from t2g_ros.labels import DGVSS15, space
from t2g_ros.model.checkpoint import load_model
from t2g_ros.training import trainer
from t2g_ros.training.config import load_train_config
from t2g_ros.training.drives import open_footage, supervision

CONFIGS = Path(__file__).parents[2] / "config" / "train"
SMALL = [
    "model={name: small, labels: dgvss15, input_size: [64, 128], width: 16, query_rank: 4}",
    "augment.crop=[64, 64]",
]
SHORT = ["steps=2", "clips_per_step=2", "workers=1", "threads=1", "device=cpu", "warmup_steps=1"]


def official(root: Path, config: str) -> list[str]:
    """Make a tree that has what a config asks for, and return the overrides that point there."""
    if config == "cityscapes":
        TREES["cityscapes"](root)
        for folder in ("leftImg8bit_sequence", "gtFine"):
            (root / folder / "train").symlink_to(root / folder / "val")
    elif config == "kitti360":
        TREES["kitti360"](root)
        drive = "2013_05_28_drive_0010_sync/image_00"
        write_image(root / f"data_2d_raw/{drive}/data_rect/0000000000.png", 0)
        write_ids(root / f"data_2d_semantics/train/{drive}/semantic/0000000000.png", 7, 11)
    else:
        TREES["camvid32" if config == "camvid" else config](root)
    return [f"{section}.0.path={root}" for section in ("sources", "validation")]


@pytest.mark.parametrize("name", ["apolloscape", "kitti360", "camvid"])
def test_the_protocols_train_the_15_classes_on_one_source_and_watch_what_they_hold_out(
    name: str, tmp_path: Path
) -> None:
    config = load_train_config(CONFIGS / f"{name}.yaml", official(tmp_path, name))
    assert config.model.labels == "dgvss15"
    assert config.frames_per_clip == 5
    trained, watched = (
        open_footage(data, tmp_path, DGVSS15, video=True) for data in (config.sources[0], config.validation[0])
    )
    assert trained.space is watched.space is DGVSS15
    names = [{drive.name for drive in footage.drives} for footage in (trained, watched)]
    assert not names[0] & names[1]


@pytest.mark.parametrize("name", ["cityscapes", "kitti360"])
def test_two_steps_on_an_official_layout(name: str, tmp_path: Path) -> None:
    overrides = [*official(tmp_path / "data", name), *SMALL, *SHORT]
    weights = trainer.main(CONFIGS / f"{name}.yaml", overrides, tmp_path / "out")
    assert load_model(weights).config.labels == "dgvss15"


SPACE_OF = {"cityscapes": "cityscapes19", "kitti360": "cityscapes19", "apolloscape": "dgvss15"}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_labels_of_every_shipped_config_fit_its_model(path: Path) -> None:
    config = load_train_config(path)
    for data in (*config.sources, *config.validation):
        name = data.labels if data.layout == "folder" else SPACE_OF.get(data.layout, data.layout)
        supervision(space(name), space(config.model.labels), path.name)
