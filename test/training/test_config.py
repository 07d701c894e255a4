from pathlib import Path

import pytest

from t2g_ros.errors import T2GError
from t2g_ros.training.config import ConfigError, load_train_config

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "train").glob("*.yaml"))


def test_there_are_shipped_configs() -> None:
    assert SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_every_shipped_config_loads(path: Path) -> None:
    config = load_train_config(path)
    assert config.steps > 0
    assert config.sources


def test_overrides_reach_into_sections(config_file: Path) -> None:
    sections = ["steps=9", "model.width=32", "augment.scale=[0.5, 0.6]", "set_loss.points=99"]
    config = load_train_config(config_file, [*sections, "sources.1.weight=7", "sources.1.strides=[2, 4]"])
    assert (config.steps, config.model.width, config.augment.scale) == (9, 32, (0.5, 0.6))
    assert (config.set_loss.points, config.sources[1].weight, config.sources[1].strides) == (99, 7, (2, 4))
    assert config.sources[0].weight == 1


def test_a_number_may_be_written_as_people_write_it(config_file: Path) -> None:
    assert load_train_config(config_file, ["lr=1e-4"]).lr == 1e-4  # to YAML that is a string


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stepps=9", "stepps"),
        ("model.wdith=9", "wdith"),
        ("augment.corp=[1, 2]", "corp"),
        ("steps=many", "steps"),
        ("steps", "key=value"),
        ("steps.x=1", "steps"),
        ("sources=[]", "sources"),
        ("sources=[{kind: video}]", r"sources\[0\]"),
        ("precision=f8", "precision"),
        ("model.width=33", "width"),
        ("lr=fast", "lr is 'fast', expected float"),
        ("augment.crop=[1, 2, 3]", r"augment: crop is \[1, 2, 3\]"),
        ("set_loss.pionts=9", "pionts"),
        ("sources.0.kind=film", r"sources\[0\]: kind is 'film', expected one of video, stills, rendered"),
        ("sources.7.kind=video", "'7' is no place in a list of 2"),
        ("sources.0.strides=[1, two]", r"sources\[0\]: strides"),
        ("consistency_pairs=some", "consistency_pairs is 'some', expected one of adjacent, all"),
        ("consistency_divergence=l3", "l3.*symmetric_kl, kl, js, l2"),
        ("consistency_mask=void", "void.*stable, all"),
        ("device=tpu", "tpu.*auto, cpu, cuda"),
        ("steps=0", "steps is 0, expected at least 1"),
        ("workers=true", "workers is True, expected int"),
        ("steps=[", "not YAML"),
    ],
)
def test_a_wrong_key_or_value_is_named(config_file: Path, override: str, said: str) -> None:
    with pytest.raises(T2GError, match=said):
        load_train_config(config_file, [override])


def test_a_config_may_build_on_another_one(config_file: Path) -> None:
    path = config_file.with_name("more.yaml")
    path.write_text("base: train.yaml\nsteps: 9\naugment: {scale: [0.5, 0.6]}\nvalidation: []\n")
    config, base = load_train_config(path, ["lr=0.5"]), load_train_config(config_file)
    assert (config.steps, config.lr, config.augment.scale, config.validation) == (9, 0.5, (0.5, 0.6), ())
    assert (config.model, config.sources, config.augment.crop) == (base.model, base.sources, base.augment.crop)
    for wrong in ("elsewhere/train.yaml", "more.yaml", "7"):
        path.write_text(f"base: {wrong}\n")
        with pytest.raises(ConfigError, match=r"more\.yaml: base is .*expected the name of another file"):
            load_train_config(path)


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml.*list"):
        load_train_config(path)
    with pytest.raises(ConfigError, match="missing"):
        load_train_config(tmp_path / "missing.yaml")
