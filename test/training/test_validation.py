from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_trees import cityscapes
from lightning_fabric import Fabric

from t2g_ros.inference.segmenter import StreamSegmenter
from t2g_ros.labels import CITYSCAPES19, DGVSS15, remap_table
from t2g_ros.model.checkpoint import load_model
from t2g_ros.model.time2general import Time2General
from t2g_ros.runtimes import load_runtime
from t2g_ros.runtimes.torch import prepare
from t2g_ros.training.config import ValidationConfig
from t2g_ros.training.validation import Validation
from t2g_ros.types import NS_PER_S, Frame

FABRIC = Fabric(accelerator="cpu", devices=1)


def validation(root: Path, **values) -> Validation:
    return Validation(ValidationConfig(path=root.name, **values), root.parent, "cityscapes19", FABRIC)


def as_the_network_sees(drive: Path, model: Path) -> None:
    """Make the labels of a drive what the network says of each frame alone."""
    import cv2

    runtime = load_runtime(model, runtime="torch", precision="f32", threads=1)
    for file in (drive / "images").iterdir():
        segmenter = StreamSegmenter(runtime)
        rgb = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        segmentation = segmenter.step(Frame(rgb, 0))
        assert segmentation is not None
        cv2.imwrite(str(drive / "labels" / file.name), segmentation.labels)


def as_the_engine_rounds(model: Path) -> Time2General:
    """A network whose scores are the engine's to the last bit: one that differs there may label a pixel otherwise."""
    network = load_model(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepare(network, network.config.input_size, torch.float32)
    return network


def test_single_frames_that_are_right_have_an_miou_of_1(drive: Path, random_model: Path) -> None:
    as_the_network_sees(drive, random_model)
    network = as_the_engine_rounds(random_model)
    found = validation(drive, labels="cityscapes19", every_nth=2)
    assert len(found.frames) == 4
    assert found.figures(network) == {"miou": pytest.approx(1.0)}
    assert found.picture is not None
    assert np.array_equal(found.picture[:, :160], found.picture[:, 160:])


@pytest.mark.parametrize("model", ["random_model", "write_back_model"])
def test_a_stream_is_segmented_as_a_live_one(drive: Path, model: str, request: pytest.FixtureRequest) -> None:
    """Labels made by the node's own segmenter, with its memory: the validation has to agree in every pixel."""
    import cv2

    path: Path = request.getfixturevalue(model)
    for index, file in enumerate(sorted((drive / "images").iterdir())):
        for folder in ("images", "labels"):
            (drive / folder / file.name).rename(drive / folder / f"a_{6 * index:05d}.png")
    segmenter = StreamSegmenter(load_runtime(path, runtime="torch", precision="f32", threads=1))
    for index, file in enumerate(sorted((drive / "images").iterdir())):
        rgb = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        segmentation = segmenter.step(Frame(rgb, index * NS_PER_S // 5))
        assert segmentation is not None
        cv2.imwrite(str(drive / "labels" / file.name), segmentation.labels)
    network = as_the_engine_rounds(path)
    stream = validation(drive, labels="cityscapes19", every_nth=1, stream=True)
    assert stream.name == f"{drive.parent.name}_drive_stream"
    found = stream.figures(network)
    assert found["miou"] == pytest.approx(1.0)
    assert found["mvc8"] == pytest.approx(1.0)
    assert found["flicker"] == 0
    alone = validation(drive, labels="cityscapes19", every_nth=1)
    assert alone.figures(network)["miou"] < 1.0


def test_a_data_set_validates_from_its_official_layout(tmp_path: Path, random_model: Path) -> None:
    network = load_model(random_model)
    network.config = replace(network.config, input_size=(64, 64))
    found = validation(cityscapes(tmp_path / "data"), layout="cityscapes", sequences=("val/*",), every_nth=1)
    assert len(found.frames) == 3
    assert 0 <= found.figures(network)["miou"] < 0.5
    assert found.footage.space is CITYSCAPES19


def test_predictions_are_judged_in_the_space_of_coarser_labels(drive: Path) -> None:
    found = validation(drive, labels="camvid11")
    assert np.array_equal(found.table, remap_table(CITYSCAPES19, found.footage.space))
    assert DGVSS15.name != found.footage.space.name


def test_nothing_of_the_network_is_changed(drive: Path, random_model: Path) -> None:
    network = load_model(random_model)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    validation(drive, labels="camvid11", every_nth=4).figures(network)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
