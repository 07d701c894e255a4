"""The test stand of the soak: a node, its camera, the receiver of its masks, and the operator who troubles both."""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from failing_node import FAULT
from lifecycle_msgs.srv import ChangeState
from measure import size_text, slope
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from soak_camera import read_log
from soak_figures import drift_ms, recovery_s, unaccounted, wrong_stamps
from std_srvs.srv import SetBool, Trigger

from t2g_ros.demo.process import DemoError, Process
from t2g_ros.types import NS_PER_S

NODE_NAME = "segmentation"
READY_S, ANSWER_S, QUIET_S = 300.0, 30.0, 10.0
DEPTH = 200
MB = 1e6
RSS_SAMPLES = 40
"""At least so many are told, evenly spaced over the run."""
DEACTIVATE, ACTIVATE = 4, 3


class Stand(Node):
    """One node under test, its camera, and its receiver and operator.

    Args:
        context: of rclpy.
        transport: `raw` or `compressed`.
        args: the command line.
        folder: for logs.
        seed: of the faults.
    """

    def __init__(self, context: Context, transport: str, args: Namespace, folder: Path, seed: int) -> None:
        self._ns = f"/t2g_soak/{transport}"
        super().__init__("soak", namespace=self._ns, context=context)
        self.faults: Counter[str] = Counter()
        self.resident: list[tuple[float, float]] = []
        """Seconds, MB."""
        self.values: dict[str, str] = {}
        """What the node says of its camera."""
        self.model: dict[str, str] = {}
        self.transport, self._args, self._folder = transport, args, folder
        self._dice = random.Random(seed)
        self._cameras: list[Path] = []
        self._camera: Process | None = None
        self._masks: list[tuple[int, str, int, int, int]] = []
        self._told = 0
        self._watcher: Any = None
        self._ended: list[int] = []
        """When faults of the engine ended, nanoseconds since the epoch."""
        self._fault = folder / f"{transport}.fault"
        # Of the receiver, so that every mask that is published arrives.
        reliable = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, "segmentation/mask", self._on_mask, reliable, raw=True)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._asked: dict[str, Any] = {
            "parameters": self.create_client(SetParameters, f"{NODE_NAME}/set_parameters"),
            "state": self.create_client(ChangeState, f"{NODE_NAME}/change_state"),
            "reset": self.create_client(Trigger, f"{NODE_NAME}/reset_memory"),
            "enable": self.create_client(SetBool, f"{NODE_NAME}/enable"),
        }
        os.environ[FAULT] = str(self._fault)
        self.node = Process(f"{transport} node", self._node_argv(), folder / f"{transport}-node.log")

    def _node_argv(self) -> list[str]:
        args = self._args
        values: dict[str, Any] = {key: getattr(args, key) for key in ("model", "runtime", "precision", "threads")}
        # Deep enough that no mask is overwritten before this process has it, however busy the machine.
        values |= {
            "image_transport": self.transport,
            f"qos_overrides.{self._ns}/segmentation/mask.publisher.depth": DEPTH,
        }
        settings = [part for key, value in values.items() for part in ("-p", f"{key}:={value}")]
        remaps = ["-r", f"__ns:={self._ns}", "-r", f"__node:={NODE_NAME}"]
        return [sys.executable, _beside("failing_node.py"), "--ros-args", *remaps, *settings]

    # -- the receiver ----------------------------------------------------------------------------------------

    def _on_mask(self, data: bytes) -> None:
        now_ns = time.time_ns()
        # CDR: 4 bytes that name the encoding, the stamp, the length of the frame_id and itself, ended by a zero and
        # padded to four, then height and width.
        sec, nanosec, length = struct.unpack_from("<iII", data, 4)
        at = 16 + length + (-length) % 4
        height, width = struct.unpack_from("<II", data, at)
        frame_id = bytes(data[16 : 16 + length - 1]).decode(errors="replace")
        self._masks.append((sec * NS_PER_S + nanosec, frame_id, height, width, now_ns))

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        name = f"{self._ns}/{NODE_NAME}".lstrip("/")
        for status in array.status:
            if status.name.startswith(name):
                values = {value.key: value.value for value in status.values}
                if status.name.endswith(": model"):
                    self.model = values
                else:
                    self.values = values
                    self._told += 1

    # -- the operator ----------------------------------------------------------------------------------------

    def start(self, check: Callable[[], None]) -> None:
        """Wait for the node to be active, and start the camera."""
        self._wait(lambda: self.values.get("state", "inactive") not in ("inactive", ""), READY_S, check)
        self._start_camera()

    def operate(self) -> None:
        """Do one thing to the node or to the camera."""
        actions = [
            self._parameter,
            self._bad_parameter,
            self._reset,
            self._disable,
            self._deactivate,
            self._watch,
            self._restart_camera,
            self._kill_camera,
            self._engine_fault,
        ]
        action = self._dice.choice(actions)
        self.faults[action.__name__.lstrip("_")] += 1
        action()

    def _parameter(self) -> None:
        choices: list[tuple[str, Any]] = [
            ("min_confidence", self._dice.choice([0.0, 0.5, 1.0])),
            ("output_resolution", self._dice.choice(["source", "model"])),
            ("overlay_alpha", self._dice.random()),
            ("max_gap_s", self._dice.uniform(0.1, 5.0)),
            ("stale_after_s", self._dice.uniform(0.1, 5.0)),
        ]
        self._set(*self._dice.choice(choices))

    def _bad_parameter(self) -> None:
        self._set(*self._dice.choice([("min_confidence", 7.0), ("model", "other"), ("output_resolution", "huge")]))

    def _set(self, name: str, value: Any) -> None:
        self._call("parameters", SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()]))

    def _reset(self) -> None:
        self._call("reset", Trigger.Request())

    def _disable(self) -> None:
        self._call("enable", SetBool.Request(data=False))
        time.sleep(self._dice.uniform(0.0, 1.0))
        self._call("enable", SetBool.Request(data=True))

    def _deactivate(self) -> None:
        for transition in (DEACTIVATE, ACTIVATE):
            request = ChangeState.Request()
            request.transition.id = transition
            self._call("state", request)

    def _watch(self) -> None:
        if self._watcher is None:
            topic = f"segmentation/{self._dice.choice(['overlay', 'color', 'stability', 'confidence'])}"
            self._watcher = self.create_subscription(Image, topic, _nothing, 1, raw=True)
        else:
            self.destroy_subscription(self._watcher)
            self._watcher = None

    def _restart_camera(self) -> None:
        # By SIGTERM: one that had hardly begun misses a SIGINT where that is ignored, as in a shell's background.
        self._end_camera()
        self._start_camera()

    def _kill_camera(self) -> None:
        assert self._camera is not None
        os.kill(self._camera.pid, signal.SIGKILL)
        self._end_camera()
        self._start_camera()

    def _start_camera(self) -> None:
        log = self._folder / f"{self.transport}-{len(self._cameras)}.csv"
        self._cameras.append(log)
        argv = [sys.executable, _beside("soak_camera.py"), "--seed", str(self._dice.randrange(10**9))]
        argv += ["--log", str(log), "--rate", str(self._args.rate), "--size", size_text(self._args.size)]
        argv += ["--compressed"] * (self.transport == "compressed")
        self._camera = Process("camera", [*argv, "--ros-args", "-r", f"__ns:={self._ns}"], log.with_suffix(".log"))

    def _end_camera(self) -> None:
        if self._camera is not None:
            self._camera.__exit__()

    def _engine_fault(self) -> None:
        word = self._dice.choice(["error", "memory", "dead"])
        self.faults[f"engine_{word}"] += 1
        self._fault.write_text(word)
        time.sleep(self._dice.uniform(0.0, 2.0))
        self._fault.unlink()
        self._ended.append(time.time_ns())

    def _call(self, service: str, request: Any) -> None:
        client = self._asked[service]
        if client.wait_for_service(ANSWER_S):
            future = client.call_async(request)
            self._wait(future.done, ANSWER_S, self.check)

    def check(self) -> None:
        """Raise `DemoError` if the node has ended."""
        if not self.node.is_running():
            raise DemoError(f"the {self.transport} node has ended with exit code 0")

    @staticmethod
    def _wait(condition: Callable[[], object], seconds: float, check: Callable[[], None]) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            check()
            time.sleep(0.02)
        return False

    # -- what came of it -------------------------------------------------------------------------------------

    def sample(self, seconds: float) -> None:
        """Note the node's memory."""
        pages = int(Path(f"/proc/{self.node.pid}/statm").read_text().split()[1])
        self.resident.append((seconds, pages * os.sysconf("SC_PAGE_SIZE") / MB))

    def finish(self) -> None:
        """End the camera, and wait until the node is through with what it has and has said so."""
        self._end_camera()

        def quiet() -> bool:
            values, masks = self.values, len(self._masks)
            return unaccounted(values) == 0 and int(values["frames_segmented"]) == masks

        self._wait(quiet, QUIET_S, self.check)

    def result(self, start_ns: int, seconds: float) -> dict[str, Any]:
        """The figures of this node."""
        sent = [image for log in self._cameras for image in read_log(log)]
        faults = self.faults + Counter(image.fault for image in sent if image.fault)
        clean = {(image.stamp_ns, image.frame_id): image.sent_ns for image in sent if not image.fault}
        keys = [((stamp, frame_id), at) for stamp, frame_id, _, _, at in self._masks]
        latencies = [((at - start_ns) / 1e9, (at - clean[key]) / 1e6) for key, at in keys if key in clean]
        width, _, height = self.model["input_size"].partition("x")
        wrong = wrong_stamps([mask[:4] for mask in self._masks], sent, (int(height), int(width)))
        for text in wrong[:5]:
            print(f"wrong stamp: {text}")
        steady = [(at, mb) for at, mb in self.resident if at > seconds / 5]
        made = int(self.values["frames_segmented"])
        kept = {key: int(value) for key, value in self.values.items() if key.startswith("frames_")}
        return {
            "frames_sent": len(sent),
            "masks": len(self._masks),
            "lost_before_the_node": len(sent) - kept["frames_received"],
            **kept,
            "wrong_stamps": len(wrong),
            "unaccounted": abs(unaccounted(self.values)) + abs(made - len(self._masks)),
            "rss_slope_mb_per_h": 3600 * slope(*zip(*steady, strict=True)) if len(steady) > 1 else None,
            "rss_mb": [round(mb) for _, mb in self.resident[:: max(1, len(self.resident) // RSS_SAMPLES)]],
            "latency_ms": drift_ms(latencies, seconds),
            "recovery_s": recovery_s(self._ended, [mask[-1] for mask in self._masks]),
            "engine_recreations": int(self.model["engine_recreations"]),
            "faults": dict(sorted(faults.items())),
        }

    def close(self) -> None:
        """End the processes."""
        self._end_camera()
        self.node.__exit__()


def _nothing(_: object) -> None:
    pass


def _beside(name: str) -> str:
    return str(Path(__file__).with_name(name))
