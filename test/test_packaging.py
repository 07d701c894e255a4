from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from t2g_ros import __version__

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE_FILES = ("package.xml", "setup.py", "setup.cfg", "pyproject.toml", "resource", "LICENSE", "README.md")
SHARED = ("config", "launch", "models", "test/data/drive")
MODEL = "models/packaged.safetensors"
BESIDE_THE_CODE = (
    "py.typed",
    "evaluation/report/metrics.schema.json",
    *(f"evaluation/report/page.{s}" for s in ("html.j2", "css", "js")),
)


def run(command: list[str], cwd: Path, env: dict[str, str]) -> str:
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=170, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what gets installed, since a build leaves folders behind, with one more model in it."""
    copy = tmp_path_factory.mktemp("workspace") / "t2g_ros"
    copy.mkdir()
    for name in (*PACKAGE_FILES, "t2g_ros", *SHARED):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, copy)
    (copy / MODEL).parent.mkdir(exist_ok=True)
    (copy / MODEL).write_bytes(b"weights")
    return copy


@pytest.fixture
def bare_environment() -> dict[str, str]:
    """No ROS installation and no checkout to find anything in."""
    return {k: v for k, v in os.environ.items() if k not in ("AMENT_PREFIX_PATH", "PYTHONPATH", "COLCON_PREFIX_PATH")}


def assert_installed(share: Path, code: Path, tree: Path) -> None:
    for file in BESIDE_THE_CODE:
        assert (code / file).read_bytes() == (tree / "t2g_ros" / file).read_bytes()
    for folder in SHARED:
        for file in (tree / folder).rglob("*"):
            if file.is_file():
                assert (share / file.relative_to(tree)).read_bytes() == file.read_bytes()
    assert (share / "package.xml").is_file()
    assert (share.parent / "ament_index/resource_index/packages/t2g_ros").is_file()


def test_pip_installs_commands_and_shared_files(tree: Path, tmp_path: Path, bare_environment: dict[str, str]) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), str(tree)]
    run(wheel, tmp_path, bare_environment)
    run([sys.executable, "-m", "venv", "--without-pip", "venv"], tmp_path, bare_environment)
    bin_dir = tmp_path / "venv" / "bin"
    (built,) = tmp_path.glob("t2g_ros-*.whl")
    install = [*pip, "--python", str(bin_dir / "python"), "install", "--no-deps", "--no-index", str(built)]
    run(install, tmp_path, bare_environment)
    # The dependencies come from the environment of this test; its own t2g_ros is linked by a .pth file, which
    # PYTHONPATH does not follow.
    environment = bare_environment | {"PYTHONPATH": os.pathsep.join(site.getsitepackages())}
    where = "import t2g_ros.share as s; print(s.__file__); print(s.share_dir())"
    code, share = run([str(bin_dir / "python"), "-c", where], tmp_path, environment).splitlines()
    assert Path(code).is_relative_to(tmp_path)
    assert Path(share) == tmp_path / "venv" / "share" / "t2g_ros"
    assert_installed(Path(share), Path(code).parent, tree)
    assert "make-bag" in run([str(bin_dir / "t2g"), "--help"], tmp_path, environment)
    assert (bin_dir / "segment_node").is_file()


def test_colcon_builds_what_ros2_run_looks_for(tree: Path, domain_id: int) -> None:
    colcon = shutil.which("colcon", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if colcon is None:
        pytest.skip("colcon is not installed")
    workspace = tree.parent
    # A sourced distribution stays, since colcon's extensions need its Python packages; the checkout goes.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = os.environ | {
        "AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH") or sys.prefix,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path and Path(path).resolve() != REPOSITORY),
    }
    run([colcon, "build", "--event-handlers", "console_cohesion+"], workspace, environment)
    prefix = workspace / "install" / "t2g_ros"
    for executable in ("t2g", "segment_node"):
        assert os.access(prefix / "lib" / "t2g_ros" / executable, os.X_OK)
    where = "import t2g_ros.share as s; print(s.__file__); print(s.share_dir())"
    script = f'source install/setup.bash && "{sys.executable}" -c "{where}" && "{prefix}/lib/t2g_ros/t2g" --help'
    code, share, *usage = run(["bash", "-c", script], workspace, environment).splitlines()
    assert Path(code).is_relative_to(prefix)
    assert Path(share) == prefix / "share" / "t2g_ros"
    assert_installed(Path(share), Path(code).parent, tree)
    assert any("make-bag" in line for line in usage)
    pytest.importorskip("rclpy")
    assert_starts_and_ends(prefix, workspace, environment | {"ROS_DOMAIN_ID": str(domain_id)})


def assert_starts_and_ends(prefix: Path, workspace: Path, environment: dict[str, str]) -> None:
    """The installed node comes up in the workspace's environment, says that it has no such model, and ends cleanly."""
    node = f'exec "{prefix}/lib/t2g_ros/segment_node" --ros-args -p model:=no_such_model'
    log = workspace / "node.log"
    with log.open("w") as output:
        script = ["bash", "-c", f"source install/setup.bash && {node}"]
        process = subprocess.Popen(script, cwd=workspace, env=environment, stderr=output)
    try:
        end = monotonic() + 60
        while "cannot configure" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert monotonic() < end, log.read_text()
            sleep(0.1)
        assert "no_such_model" in log.read_text()
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()


def test_both_manifests_agree() -> None:
    package = ET.parse(REPOSITORY / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.findtext("name") == "t2g_ros"
    assert package.findtext("version") == __version__
    assert package.findtext("export/build_type") == "ament_python"
    shown = [sys.executable, "setup.py", "--name", "--version", "--license", "--maintainer-email"]
    found = run(shown, REPOSITORY, dict(os.environ)).split()[-4:]
    email = package.find("maintainer").get("email")  # type: ignore[union-attr]
    assert found == ["t2g_ros", __version__, package.findtext("license"), email]


def test_the_manifest_is_valid_for_ros() -> None:
    manifest = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg is not installed")
    warnings: list[str] = []
    package = manifest.parse_package(str(REPOSITORY), warnings=warnings)
    package.validate(warnings=warnings)
    assert warnings == []


def test_everything_that_the_set_up_installs_is_pinned() -> None:
    try:
        metadata.distribution("t2g_ros")
    except metadata.PackageNotFoundError:
        pytest.skip("t2g_ros is not installed here, its sources are used as they lie")
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("#")}
    extras = re.search(r"^extras=(.*)$", (REPOSITORY / "scripts" / "setup.sh").read_text(), re.MULTILINE)
    assert extras is not None
    wanted = set(extras[1].split(","))
    if find_spec("ros_wheels_bootstrapper"):  # the wheels, and not a distribution
        wanted.add("ros-jazzy")
    needed = {"setuptools", "wheel"} | requirements_of("t2g_ros", wanted)
    if "ros-jazzy" in wanted and not metadata.version("rclpy").startswith("7."):
        # Another distribution's wheels, which setup.py pins.
        needed = {name for name in needed if not name.startswith("ros-")}
    assert needed - pins == set()


def requirements_of(name: str, extras: set[str]) -> set[str]:
    """Return the names of everything that a distribution needs, directly or not."""
    found: set[str] = set()
    queue = [(name, extras)]
    while queue:
        name, extras = queue.pop()
        for requirement in map(Requirement, metadata.requires(name) or []):
            marker = requirement.marker
            needed = canonicalize_name(requirement.name)
            if needed not in found and (not marker or any(marker.evaluate({"extra": e}) for e in {"", *extras})):
                found.add(needed)
                queue.append((requirement.name, set(requirement.extras)))
    return found
