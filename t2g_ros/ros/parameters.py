"""The node's parameters: one table of defaults, descriptions, ranges and times of change, and its validation."""

from __future__ import annotations

import re
from dataclasses import Field, dataclass, field, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from t2g_ros.inference.clip_memory import CLIP_SPAN_S
from t2g_ros.inference.segmenter import OUTPUT_RESOLUTIONS
from t2g_ros.inference.stability_alarm import StabilityLimits
from t2g_ros.labels.palettes import PALETTES
from t2g_ros.runtimes import PRECISIONS, RUNTIMES

TRANSPORTS = ("raw", "compressed")
OUTPUTS = ("mask", "confidence", "stability", "color", "overlay", "camera_info")
START = "fixed at start"
CONFIGURE = "settable while unconfigured"
LIVE = "settable at any time"


def _parameter(
    default: Any,
    description: str,
    when: str = CONFIGURE,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    metadata = {"description": description, "when": when, "range": (low, high), "choices": choices}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Every parameter with its value; the field names are the parameter names."""

    model: str = _parameter("t2g_tiny", "Name of a shipped model, or the path of a .safetensors file.")
    runtime: str = _parameter("auto", "Inference engine; auto picks the fastest that works here.", choices=RUNTIMES)
    precision: str = _parameter("auto", "Arithmetic of the engine; auto is never int8.", choices=PRECISIONS)
    device: str = _parameter("auto", "auto, cpu, cuda or cuda:N; with runtime onnx also tensorrt.")
    threads: int = _parameter(
        0,
        "CPU threads of the engine; 0 takes one per core. Fewer than there are cores also let each camera convert "
        "images on a thread of its own while they wait.",
        low=0,
        high=256,
    )
    input_size: list[int] = _parameter(  # noqa: RUF009 (returns a field)
        [0, 0], "[height, width] that the network sees, multiples of 64; [0, 0] takes the model's own."
    )
    build_only: bool = _parameter(
        False, "Only make and cache what the engine needs (TensorRT builds for minutes), and do not become active."
    )
    cameras: list[str] = _parameter(  # noqa: RUF009 (returns a field)
        [],
        "Names of several cameras; the topics of each lie under its name, such as front/image_raw. They share the "
        "network and have a memory each. Empty is one camera without a name.",
    )
    max_camera_time_diff_s: float = _parameter(
        0.05,
        "Images of several cameras that wait at the same time are encoded together if their stamps are no farther "
        "apart, seconds, and the engine is faster so; no camera waits for another.",
        LIVE,
        low=0.0,
        high=60.0,
    )
    clip_span_s: float = _parameter(CLIP_SPAN_S, "Seconds that the frames in memory span.", low=0.01, high=60.0)
    lag_frames: int = _parameter(
        0, "Frames by which the masks trail the images, so that a mask also knows its future.", low=0, high=16
    )
    target_latency_ms: float = _parameter(
        0.0,
        "Deadline mode: above this latency, milliseconds from an image's arrival to its mask, the clip gets shorter, "
        "then the network's input smaller, and back when there is time again; each change empties the memory. Engines "
        "for all of these are loaded at configure, which takes several times the time and memory of one. 0 is off.",
        low=0.0,
        high=60000.0,
    )
    image_transport: str = _parameter(
        "raw", "raw subscribes to image_raw, compressed to image_raw/compressed.", choices=TRANSPORTS
    )
    autostart: bool = _parameter(True, "Configure and activate without being asked to.", START)
    max_gap_s: float = _parameter(
        2.0, "A longer pause between two stamps empties the memory, seconds.", LIVE, low=0.01, high=3600.0
    )
    output_resolution: str = _parameter(
        "source", "Size of the masks: source is the image's, model the network's.", LIVE, choices=OUTPUT_RESOLUTIONS
    )
    min_confidence: float = _parameter(
        0.0, "Labels less certain than this become 255 (unlabeled); 0 keeps all.", LIVE, low=0.0, high=1.0
    )
    overlay_alpha: float = _parameter(
        0.5,
        "Weight of the colours in the overlay: 0 shows the image only, 1 the colours only.",
        LIVE,
        low=0.0,
        high=1.0,
    )
    palette: str = _parameter(
        "own",
        "Colours of color, overlay and labels: own are the model's, cividis differ in lightness for any colour vision.",
        LIVE,
        choices=PALETTES,
    )
    outputs: list[str] = _parameter(  # noqa: RUF009 (returns a field)
        list(OUTPUTS), "Which topics to offer; the others are neither advertised nor computed.", LIVE, choices=OUTPUTS
    )
    max_rate_hz: float = _parameter(
        0.0,
        "Images above this rate, by their stamps, are skipped, which frames_skipped_rate_limit counts; 0 segments all.",
        LIVE,
        low=0.0,
        high=1000.0,
    )
    stale_after_s: float = _parameter(
        2.0, "A camera silent for longer is reported as stale, seconds.", LIVE, low=0.05, high=3600.0
    )
    max_allowed_processing_time_ms: float = _parameter(
        200.0, "A frame that takes longer raises a warning, milliseconds.", LIVE, low=0.1, high=60000.0
    )
    max_acceptable_consecutive_delay_ms: float = _parameter(
        1000.0, "Frames late for longer than this raise an error, milliseconds.", LIVE, low=0.1, high=600000.0
    )
    max_mean_flicker: float = _parameter(
        1.0,
        "A higher mean_flicker, the share of labels that change from frame to frame, is unstable; 1 is never reached.",
        LIVE,
        low=0.0,
        high=1.0,
    )
    min_mean_temporal_consistency: float = _parameter(
        0.0,
        "A lower mean_temporal_consistency, the share of labels that follow motion, is unstable; 0 is never reached.",
        LIVE,
        low=0.0,
        high=1.0,
    )
    unstable_after_s: float = _parameter(
        2.0,
        "For how long it has to be unstable before that is a warning, seconds of stamps.",
        LIVE,
        low=0.0,
        high=600.0,
    )

    @property
    def stability_limits(self) -> StabilityLimits:
        """What the masks' stability is judged by."""
        return StabilityLimits(self.max_mean_flicker, self.min_mean_temporal_consistency, after_s=self.unstable_after_s)


def _table() -> dict[str, Field[Any]]:
    return {f.name: f for f in fields(Settings)}


def problem_with(name: str, value: Any) -> str | None:
    """Say what is wrong with a value beyond its type and range, which rclpy checks; None if nothing is."""
    choices = _table()[name].metadata["choices"]
    if isinstance(value, str) and choices and value not in choices:
        return f"parameter {name}: found '{value}', expected one of {', '.join(choices)}"
    if name == "outputs" and (not value or not set(value) <= set(choices)):
        return f"parameter {name}: found {list(value)}, expected one or more of {', '.join(choices)}"
    if name == "input_size":
        sides = list(value)
        if len(sides) != 2 or (sides != [0, 0] and any(side <= 0 or side % 64 for side in sides)):
            return f"parameter {name}: found {sides}, expected [height, width] in multiples of 64, or [0, 0]"
    if name == "cameras":
        return _problem_with_cameras(list(value or []))
    return None


def _problem_with_cameras(names: list[str]) -> str | None:
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            return f"parameter cameras: found the name '{name}', expected letters, digits and _, no digit first"
        if names.count(name) > 1:
            return f"parameter cameras: found '{name}' {names.count(name)} times, expected each name once"
    return None


class Parameters:
    """Declares the parameters on a node, refuses bad values and gives the good ones as `Settings`.

    A bad value at start does not end the node: `problems` holds what to say about it until somebody sets that
    parameter.
    """

    def __init__(self, node: Node) -> None:
        self.problems: dict[str, str] = {}
        self._node = node
        for name, entry in _table().items():
            self._declare(name, entry)

    @property
    def settings(self) -> Settings:
        """The values as they are now."""
        return self.with_changes([])

    def with_changes(self, changes: list[Parameter]) -> Settings:
        """The values as they will be after changes that are about to be made."""
        # An array that is empty in a parameter file comes without a type, and so without a value.
        unset = Parameter("unset")
        values = {name: self._node.get_parameter_or(name, unset).value for name in _table()}
        values |= {change.name: change.value for change in changes if change.name in values}
        values |= {name: list(values[name] or []) for name in ("input_size", "cameras", "outputs")}
        return Settings(**values)

    @staticmethod
    def concerns(changes: list[Parameter]) -> bool:
        """Whether any of the changes is of these parameters, and not of those that rclpy declares with each topic."""
        return any(change.name in _table() for change in changes)

    def check(self, changes: list[Parameter], *, unconfigured: bool) -> str | None:
        """Return why the changes cannot be made, None if they can."""
        table = _table()
        for change in changes:
            if change.name not in table:
                continue
            if table[change.name].metadata["when"] == CONFIGURE and not unconfigured:
                return f"parameter {change.name}: {CONFIGURE} only; deactivate and clean up the node first"
            problem = problem_with(change.name, change.value)
            if problem:
                return problem
        return None

    def accept(self, changes: list[Parameter]) -> None:
        """Note that the changes were made."""
        for change in changes:
            self.problems.pop(change.name, None)

    def _declare(self, name: str, entry: Field[Any]) -> None:
        default = getattr(Settings(), name)
        if default == []:  # has no type
            default = Parameter.Type.STRING_ARRAY
        descriptor = _descriptor(entry, default)
        try:
            problem = problem_with(name, self._node.declare_parameter(name, default, descriptor).value)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            self._node.declare_parameter(name, default, descriptor, ignore_override=True)
            problem = ": ".join(map(str, error.args))  # Humble's has two
        if problem:
            self.problems[name] = problem


def _descriptor(entry: Field[Any], default: Any) -> ParameterDescriptor:
    metadata = entry.metadata
    constraints = metadata["when"]
    if metadata["choices"]:
        count = "one or more" if isinstance(default, list) else "one"
        constraints = f"{count} of {', '.join(metadata['choices'])}; {constraints}"
    descriptor = ParameterDescriptor(
        description=metadata["description"],
        additional_constraints=constraints,
        read_only=metadata["when"] == START,
    )
    low, high = metadata["range"]
    if isinstance(default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)] if low is not None else []
    elif low is not None:
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor
