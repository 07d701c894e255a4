"""The README's commands run as written, and its tables say what the code says."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from t2g_ros.cli import build_parser

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
FRAMES = 30
"""Of the drive's 90: commands that run on them run on all."""
TRAINING_DATA = ROOT.parent / "shared" / "data" / "camvid"


def commands(*start: str) -> list[list[str]]:
    return [command for command in COMMANDS if command[: len(start)] == list(start)]


def table(heading: str) -> dict[str, str]:
    """First column, without backticks -> second column, of the table whose header begins with `heading`."""
    lines = README.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, second, *_ = (cell.strip() for cell in line.strip("|").split("|"))
        rows[first] = second
    return rows


def run(command: list[str], cwd: Path, domain_id: int, cache: Path) -> None:
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain_id), "T2G_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "t2g_ros.cli", *command[1:]]
    result = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=170)
    assert result.returncode == 0, f"{shlex.join(command)}\n{result.stdout}{result.stderr}"


def test_every_command_is_one_that_a_test_knows() -> None:
    known = ("scripts/", "t2g", "rosdep", "pip", "colcon", "source", "ros2")
    assert COMMANDS
    assert all(command[0].startswith(known) for command in COMMANDS)


@pytest.mark.timeout(600)
def test_the_offline_commands_run_in_their_order(tmp_path: Path, domain_id: int, model_cache: Path) -> None:
    pytest.importorskip("rclpy", reason="t2g demo needs rclpy")
    drive, whole = tmp_path / "test" / "data" / "drive", ROOT / "test" / "data" / "drive"
    for folder in ("images", "labels"):
        (drive / folder).mkdir(parents=True)
        for path in sorted((whole / folder).iterdir())[:FRAMES]:
            (drive / folder / path.name).symlink_to(path)
    (drive / "clip.yaml").symlink_to(whole / "clip.yaml")
    given = [command for command in commands("t2g") if command[1] not in ("train", "segment")]
    assert [command[1] for command in given] == ["predict", "make-bag", "demo", "evaluate", "evaluate"]
    for command in given:
        run(command, tmp_path, domain_id, model_cache)
    assert len(list((tmp_path / "out" / "masks").glob("*.png"))) == FRAMES // 10
    assert (tmp_path / "out" / "demo_of_a_bag" / "overlay.mp4").stat().st_size > 10_000


@pytest.mark.skipif(not TRAINING_DATA.is_dir(), reason="needs the training data in ../shared/data")
@pytest.mark.timeout(900)
def test_the_training_command_runs(tmp_path: Path, domain_id: int, model_cache: Path) -> None:
    (command,) = commands("t2g", "train")
    (tmp_path / "runs").mkdir()
    argv = [sys.executable, "-m", "t2g_ros.cli", *command[1:], "steps=2", "clips_per_step=1", "validation=[]"]
    argv[argv.index("runs/t2g_tiny")] = str(tmp_path / "runs")
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=800)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs" / "t2g_tiny.safetensors").is_file()


def test_the_scripts_exist_and_take_their_arguments() -> None:
    given = [command for command in COMMANDS if command[0].startswith("scripts/")]
    assert {command[0] for command in given} == {"scripts/demo", "scripts/test"}
    for script, *arguments in given:
        assert os.access(ROOT / script, os.X_OK)
        if script == "scripts/demo":
            args = build_parser().parse_args(["demo", *arguments])
            assert args.frames is None or (ROOT / args.frames).is_dir()


def test_the_set_up_scripts_are_plain_bash() -> None:
    bash = shutil.which("bash")
    assert bash
    for script in ("scripts/demo", "scripts/test", "scripts/setup.sh", ".ci/run"):
        subprocess.run([bash, "-n", str(ROOT / script)], check=True)


def launch_arguments(name: str) -> dict[str, str]:
    """Name -> default, read without the launch stack."""
    tree = ast.parse((ROOT / "launch" / name).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARGUMENTS":
            assert isinstance(node.value, ast.Dict)
            return {
                ast.literal_eval(key): ast.unparse(value)
                for key, value in zip(node.value.keys, node.value.values, strict=True)
                if key
            }
    raise AssertionError(f"no ARGUMENTS in {name}")


def test_the_launch_commands_name_the_launch_files_arguments() -> None:
    segment, replay = (launch_arguments(f"{name}.launch.py") for name in ("segment", "replay"))
    declared = {"segment.launch.py": segment, "replay.launch.py": segment | replay}
    given = commands("ros2", "launch")
    assert list(dict.fromkeys(command[3] for command in given)) == list(declared)
    for command in given:
        assert command[2] == "t2g_ros"
        assert all(argument.split(":=")[0] in declared[command[3]] for argument in command[4:])


@pytest.mark.parametrize(
    ("heading", "name"), [("launch argument", "segment.launch.py"), ("replay argument", "replay.launch.py")]
)
def test_the_launch_tables_have_every_argument(heading: str, name: str) -> None:
    listed = {name.strip("` ") for cell in table(heading) for name in cell.split(",")}
    assert listed == set(launch_arguments(name))


def test_the_parameter_table_has_every_parameter_with_its_default() -> None:
    pytest.importorskip("rclpy", reason="the parameters are declared through rclpy")
    from dataclasses import fields

    from t2g_ros.ros.parameters import Settings

    listed = {name.strip("`"): yaml.safe_load(default.strip("`")) for name, default in table("parameter").items()}
    assert listed == {f.name: getattr(Settings(), f.name) for f in fields(Settings)}


def test_the_folder_table_names_every_folder() -> None:
    listed = {name.strip("`/ ") for cell in table("folder of `t2g_ros/`") for name in cell.split(",")}
    there = {p.name for p in (ROOT / "t2g_ros").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert listed == there


def test_every_file_that_is_linked_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
