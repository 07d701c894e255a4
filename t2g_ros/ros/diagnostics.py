"""What goes to /diagnostics: one status per camera and one for the model, once a second and on a change of state."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from time import monotonic_ns
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode

from t2g_ros.ros.cameras import Camera
from t2g_ros.ros.health import LOG_EVERY_S, SKIPS, STAGES, Verdict
from t2g_ros.runtimes import cache
from t2g_ros.runtimes.recovery import RecoveringRuntime

PERIOD_S = 1.0
CHECK_S = 0.1
"""How late a state that time alone brings about, such as stale, may be told."""


class Diagnostics:
    """Publishes what the node's parts say of themselves; may be told to look from any thread.

    Args:
        node: publishes and gives the time, which under `use_sim_time` is the simulation's.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self.cameras: Sequence[Camera] = ()
        self.engines: Sequence[RecoveringRuntime] = ()
        """The node's engine, and in deadline mode those of the lower levels."""
        self._node = node
        self._name = node.get_fully_qualified_name().lstrip("/")
        self._lock = Lock()
        self._model_verdict = (DiagnosticStatus.WARN, "unconfigured: no model is loaded")
        self._told: tuple[Any, ...] | None = None
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Periods are of real time, so that a paused simulation clock does not silence the node.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._due_ns = 0
        self._timer = node.create_timer(CHECK_S, self.look, clock=self._steady)

    def set_model_state(self, level: bytes, message: str) -> None:
        """Say how the model is, at once."""
        self._model_verdict = (level, message)
        self.look()

    def look(self) -> None:
        """Publish if a state has changed or a second has passed; whoever calls has better to do than fail of it."""
        try:
            self._look()
        except Exception as error:
            if self._node.context.ok():
                text = f"/diagnostics cannot be told: {type(error).__name__}: {error}"
                self._node.get_logger().error(text, throttle_duration_sec=LOG_EVERY_S)

    def _look(self) -> None:
        with self._lock:
            cameras = self.cameras
            verdicts = [camera.verdict() for camera in cameras]
            levels = [camera.deadline and camera.deadline.level for camera in cameras]
            engines = [(engine.trouble is None, engine.recreations) for engine in self.engines]
            states = (self._model_verdict, [(verdict.state, verdict.level) for verdict in verdicts], levels, engines)
            now_ns = self._steady.now().nanoseconds
            if states == self._told and now_ns < self._due_ns:
                return
            self._due_ns = now_ns + round(PERIOD_S * 1e9)
            array = DiagnosticArray(status=[self._model_status(cameras), *map(self._camera_status, cameras, verdicts)])
            array.header.stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(array)
            self._told = states

    def _model_status(self, cameras: Sequence[Camera]) -> DiagnosticStatus:
        engines = self.engines
        runtime = engines[0] if engines else None
        values: dict[str, Any] = dict.fromkeys(
            ("model", "labels", "runtime", "reason", "precision", "device", "input_size", "memory_bytes")
        )
        level, message = self._model_verdict
        values |= dict.fromkeys(
            ("gpu_memory_bytes", "engine_state", "engine_recreations", "cache_state", "files_state")
        )
        if runtime is not None:
            trouble = next((engine.trouble for engine in engines if engine.trouble), None)
            outdated = next((engine.outdated for engine in engines if engine.outdated), None)
            unkept = cache.trouble()
            height, width = runtime.input_size
            values |= {
                "model": runtime.model_name,
                "labels": runtime.labels.name,
                "runtime": runtime.name,
                "reason": runtime.reason,
                "precision": runtime.precision,
                "device": runtime.device,
                "input_size": f"{width}x{height}",
                "memory_bytes": sum(camera.memory_bytes for camera in cameras),
                "gpu_memory_bytes": runtime.gpu_memory_bytes,
                "engine_state": "recovering" if trouble else "ok",
                "engine_recreations": sum(engine.recreations for engine in engines),
                "cache_state": "not kept" if unkept else "ok",
                "files_state": "changed" if outdated else "ok",
            }
            if trouble:
                level, message = DiagnosticStatus.ERROR, trouble
            elif outdated and level == DiagnosticStatus.OK:
                level, message = DiagnosticStatus.WARN, f"model {runtime.model_name} {outdated}"
            elif unkept and level == DiagnosticStatus.OK:
                level, message = DiagnosticStatus.WARN, unkept
        hardware = runtime.device if runtime else ""
        return _status(level, f"{self._name}: model", message, hardware, values)

    def _camera_status(self, camera: Camera, verdict: Verdict) -> DiagnosticStatus:
        health, settings = camera.health, camera.settings
        segmentation, stability = health.segmentation, health.stability
        now_ns = monotonic_ns()
        processing_ms = health.processing_ms(now_ns)
        delay_ms = health.delay_ms(now_ns, settings.max_allowed_processing_time_ms)
        values: dict[str, Any] = {
            "state": verdict.state.value,
            "topic": health.topic,
            "publishers": camera.publishers,
            "output_subscribers": camera.subscribers,
            "encoding": health.encoding,
            "image_size": f"{health.size[1]}x{health.size[0]}" if health.size else None,
            "frames_received": health.received,
            "frames_segmented": health.segmented,
            "frames_batched": health.batched,
            "frames_dropped": camera.stream.mailbox.dropped,
            "frames_lost": health.lost,
            "frames_rejected": health.rejected,
            "frames_failed": health.failed,
            **{f"frames_skipped_{cause}": health.skipped[cause] for cause in SKIPS},
            "frames_skipped_reset": camera.segmenter.forgotten,
            "frames_waiting": camera.segmenter.waiting,
            # The names of Autoware's nodes, so that a diagnostic graph can treat them alike.
            "is_processing_time_ms_in_expected_range": _within(processing_ms, settings.max_allowed_processing_time_ms),
            "processing_time_ms": processing_ms,
            "is_consecutive_processing_delay_in_range": _within(delay_ms, settings.max_acceptable_consecutive_delay_ms),
            "consecutive_processing_delay_ms": delay_ms,
        }
        median, high = health.percentiles_ms(50), health.percentiles_ms(95)
        for stage in STAGES:
            values[f"stage_{stage}_ms"] = health.stage_ms.get(stage)
        for stage in (*STAGES, "total"):
            values[f"stage_{stage}_ms_p50"], values[f"stage_{stage}_ms_p95"] = median.get(stage), high.get(stage)
        values |= {
            "flicker": stability and stability.flicker,
            "mean_flicker": stability and stability.mean_flicker,
            "temporal_consistency": stability and stability.consistency,
            "mean_temporal_consistency": stability and stability.mean_consistency,
            "effective_rate_hz": stability and stability.rate_hz,
            "effective_stride_s": stability and stability.interval_s,
            "mean_confidence": stability and stability.mean_confidence,
            "clip_frames": segmentation and segmentation.clip_frames,
            "clip_span_s": segmentation and segmentation.clip_span_s,
            "memory_bytes": camera.memory_bytes,
        }
        for measure in ("mean_flicker", "mean_temporal_consistency"):
            values[f"is_{measure}_in_range"] = None if values[measure] is None else measure not in health.alarms
        if camera.deadline:
            values |= camera.deadline.values()
        resets = dict(camera.segmenter.reset_counts)
        values["resets"] = sum(resets.values())
        values |= {f"resets_{cause}": count for cause, count in sorted(resets.items())}
        hardware = segmentation.frame.frame_id if segmentation else ""
        return _status(verdict.level, f"{self._name}: {health.topic}", verdict.message, hardware, values)


def _within(value: float | None, limit: float) -> bool | None:
    return None if value is None else value <= limit


def _status(level: bytes, name: str, message: str, hardware: str, values: dict[str, Any]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id=hardware, values=pairs)


def _text(value: Any) -> str:
    """What is not known yet is `n/a`, never 0."""
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
