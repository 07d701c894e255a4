from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interrupts import INTERRUPTED, heed_interrupts

from t2g_ros import __version__
from t2g_ros.cli import COMMANDS, build_parser, main

REPOSITORY = Path(__file__).resolve().parents[1]


def t2g(*args: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "t2g_ros.cli", *args]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_every_command() -> None:
    result = t2g("--help")
    assert result.returncode == 0
    for name in COMMANDS:
        assert f"\n    {name.replace('_', '-')} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name.replace("_", "-"), "--help"])
    assert stop.value.code == 0
    assert f"usage: t2g {name.replace('_', '-')}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_an_error_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    result = t2g("predict", "--frames", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == f"t2g: frames {tmp_path / 'nowhere'}: not a folder\n"


def test_a_missing_training_config_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", str(tmp_path / "no.yaml"), "--out", str(tmp_path)]) == 2
    assert "no.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["predict", "--everyy", "2"], ["frobnicate"], []])
def test_a_wrong_command_line_shows_the_usage(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    assert "usage: t2g" in capsys.readouterr().err


def test_ros_arguments_reach_the_node_unchanged() -> None:
    ros_args = ["--ros-args", "-r", "__ns:=/front", "-p", "runtime:=torch", "--params-file", "a.yaml"]
    args, rest = build_parser().parse_known_args(["segment", *ros_args])
    assert rest == ros_args
    assert isinstance(args, argparse.Namespace)
    assert args.ros_args == []  # filled by main: only this command takes unknown arguments


def test_importing_the_command_line_is_cheap() -> None:
    code = (
        "import sys, t2g_ros.cli as c; c.build_parser();"
        "print(sorted({'torch', 'rclpy', 'transformers', 'openvino', 'rosbags', 'av'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_interrupt_stops_quietly_and_leaves_no_half_bag(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    image = REPOSITORY / "test" / "data" / "drive" / "images" / "000000000000.jpg"
    for index in range(20_000):  # work for a minute or so
        (frames / f"{index}.jpg").symlink_to(image)
    command = [sys.executable, "-m", "t2g_ros.cli", "make-bag", "--frames", str(frames), "--out", str(tmp_path / "b")]
    process = subprocess.Popen(
        [*command, "--compression", "jpeg"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "b").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (tmp_path / "b").exists()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in INTERRUPTED
    assert "Traceback" not in stderr
    assert not (tmp_path / "b").exists()


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux: a file that opens but cannot be read")
def test_what_cannot_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = tmp_path / "b.mcap"
    bag.symlink_to("/proc/self/mem")
    assert main(["predict", "--bag", str(bag), "--out", str(tmp_path / "o"), "--model", "none"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("t2g: ")
    assert "Input/output error" in lines[0]
