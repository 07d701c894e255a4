"""Packaging for both worlds: `colcon build` (ament_python) and `pip install .`."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

NAME = "t2g_ros"
SHARE = Path("share") / NAME
# What `t2g_ros.share.share_dir()` promises; the demo's default clip is the one piece of test data a user runs.
SHARED_FOLDERS = ("launch", "config", "models", "test/data/drive")

MESSAGES = ("sensor-msgs", "std-msgs", "std-srvs", "diagnostic-msgs", "visualization-msgs")


def shared_files() -> list[tuple[str, list[str]]]:
    """Return (folder under the prefix, files) for every folder that is installed beside the code."""
    folders = [path for top in SHARED_FOLDERS for path in (Path(top), *Path(top).rglob("*")) if path.is_dir()]
    found = [(str(SHARE / folder), sorted(str(f) for f in folder.iterdir() if f.is_file())) for folder in folders]
    return [(target, files) for target, files in found if files]


setup(
    name=NAME,
    version="0.1.0",
    description="Time2General as a ROS 2 node: flicker-free semantic segmentation of driving video at any frame rate",
    maintainer="t2g_ros maintainers",
    maintainer_email="maintainers@t2g-ros.example",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: ["py.typed"],
        f"{NAME}.evaluation.report": ["*.j2", "*.css", "*.js", "*.json"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (str(SHARE), ["package.xml"]),
        *shared_files(),
    ],
    zip_safe=False,
    install_requires=[
        "numpy",
        "opencv-python-headless",
        "safetensors",
        "PyYAML",
        "tqdm",
        "rosbags",
        "rosbags-image",
        # What rosbags reads with; a damaged bag is read with them directly.
        "apsw",
        "backports.zstd; python_version < '3.14'",
        "lz4",
        "av",
        "torch",
        "transformers",
        "jinja2",
        "plotly",
    ],
    extras_require={
        # Real rclpy and Fast DDS for machines without a ROS distribution; these versions work together.
        "ros-jazzy": [
            "ros-rclpy==7.1.6",
            "ros-rmw-fastrtps-cpp==8.4.3",
            *(f"ros-{name}==5.3.6" for name in MESSAGES),
        ],
        "ros-kilted": [
            "ros-rclpy==9.1.2",
            "ros-rmw-fastrtps-cpp==9.3.3",
            *(f"ros-{name}==5.5.1" for name in MESSAGES),
        ],
        "openvino": ["openvino"],
        "int8": ["nncf", "openvino"],  # to quantize; a quantized model runs without
        "onnx": ["onnx", "onnxruntime"],  # onnxruntime-gpu in place of onnxruntime runs on CUDA
        "tensorrt": ["onnx", "tensorrt"],
        # The encoder of the model that ships needs transformers already; this names the use that will need more.
        "vfm": ["transformers"],
        # Devices and processes, Hungarian matching, TensorBoard's files (without TensorBoard itself).
        "train": ["lightning-fabric", "scipy", "tensorboardX"],
        "dev": [
            "pytest",
            "pytest-timeout",
            "hypothesis",
            "ruff",
            "mypy",
            "types-PyYAML",
            "colcon-common-extensions",
            "colcon-ros",
            "jsonschema",
            "mcap",
            "selenium",
        ],
    },
    entry_points={
        "console_scripts": [
            "t2g = t2g_ros.cli:main",
            "segment_node = t2g_ros.ros.segment_node:main",
        ],
    },
)
