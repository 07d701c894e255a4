"""The lifecycle node: ties parameters, model, cameras, services and diagnostics together."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from time import monotonic, perf_counter
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import JumpHandle, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from t2g_ros.ros.cameras import Camera
from t2g_ros.ros.deadline import Ladder, load_ladder
from t2g_ros.ros.diagnostics import Diagnostics
from t2g_ros.ros.logs import forward_logs
from t2g_ros.ros.parameters import Parameters, Settings
from t2g_ros.ros.services import CameraServices
from t2g_ros.ros.turns import Turns
from t2g_ros.ros.worker import Worker
from t2g_ros.runtimes import Runtime, cache, runtimes_for
from t2g_ros.runtimes.recovery import load_recovering

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SegmentNode(LifecycleNode):
    """Segments cameras. Configure loads the model, activate subscribes, deactivate keeps the weights."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("segment_node", **kwargs)
        forward_logs(self)
        self._worker = Worker("inference")
        # What is found is published while the next frame is inferred.
        self._output_worker = Worker("outputs")
        self.parameters = Parameters(self)
        self._diagnostics = Diagnostics(self)
        self._turns = Turns(self._worker)
        self._cameras: list[Camera] = []
        self._services_of_cameras: list[CameraServices] = []
        self._jump: JumpHandle | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        CameraServices(self, lambda: self._cameras)
        self._tolerate_impossible_transitions()

    def autostart(self) -> None:
        """Configure and activate if the parameter says so."""
        settings = self.parameters.settings
        if settings.autostart and self.trigger_configure() == SUCCESS and not settings.build_only:
            self.trigger_activate()

    def stop(self, timeout_s: float) -> bool:
        """End the threads; return whether they ended in time, which all have together."""
        for camera in self._cameras:
            camera.health.active = False
        deadline = monotonic() + timeout_s
        ends = [self._worker.stop, self._output_worker.stop, *(camera.end_thread for camera in self._cameras)]
        ended = [end(deadline - monotonic()) for end in ends]
        return all(ended)

    def destroy_node(self) -> None:
        """Take the node down; call `stop` first."""
        # rclpy leaves the state machine to the collector, and with it the node's name and services in the graph.
        self._state_machine.destroy_when_not_in_use()
        super().destroy_node()

    # -- transitions -----------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up, allocate the memory, advertise the outputs."""
        return self._transition("configure", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe."""
        return self._transition("activate", self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; the model and the outputs stay."""
        return self._transition("deactivate", self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model and the outputs up."""
        return self._transition("clean up", self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything up, from any state."""
        return self._transition("shut down", self._cleanup)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured."""
        return self._transition("recover", self._cleanup)

    def _transition(self, name: str, work: Callable[[], None]) -> TransitionCallbackReturn:
        # rclpy would swallow the exception without a word.
        try:
            work()
        except InterruptedError:
            return FAILURE
        except Exception as error:
            text = f"cannot {name}: {error}"
            self.get_logger().error(text)
            self._diagnostics.set_model_state(DiagnosticStatus.ERROR, text)
            return FAILURE
        return SUCCESS

    def _configure(self) -> None:
        if self.parameters.problems:
            raise ValueError("; ".join(self.parameters.problems.values()))
        settings = self.parameters.settings
        if settings.target_latency_ms and len(settings.cameras) > 1:
            raise ValueError(
                f"parameter target_latency_ms: found {settings.target_latency_ms:g}, expected 0 with several cameras, "
                "since the deadline mode is for one; set it to 0, or run a node per camera"
            )
        self._diagnostics.set_model_state(DiagnosticStatus.OK, f"loading model {settings.model}")
        cache.forget_trouble()
        start = perf_counter()
        options = _runtime_arguments(settings)
        on_worker = partial(self._await, self._worker)
        runtime = on_worker(load_recovering, **options)
        deadline = settings.target_latency_ms > 0
        ladder = load_ladder(runtime, options, settings.lag_frames, on_worker) if deadline else None
        runtimes = on_worker(runtimes_for, first=runtime, streams=max(len(settings.cameras), 1))
        self._create_cameras(settings, runtimes, ladder)
        self._follow_clock(settings.max_gap_s)
        self._diagnostics.engines = ladder.runtimes if ladder else [runtime]
        self._diagnostics.cameras = self._cameras
        text = (
            f"model {runtime.model_name} on {runtime.name} in {runtime.precision} ({runtime.device}); {runtime.reason}"
        )
        self.get_logger().info(f"{text}; loaded in {perf_counter() - start:.1f} s")
        if settings.build_only:
            self.get_logger().info("build_only: what the engine needs is built and cached; staying inactive")
        self._diagnostics.set_model_state(DiagnosticStatus.OK, text)

    def _create_cameras(self, settings: Settings, runtimes: list[Runtime], ladder: Ladder | None) -> None:
        threads = self._worker, self._turns, self._output_worker
        prefixes = [f"{name}/" for name in settings.cameras] or [""]
        try:
            for prefix, runtime in zip(prefixes, runtimes, strict=True):
                camera = Camera(self, *threads, runtime, settings, ladder, self._diagnostics.look, prefix)
                self._cameras = [*self._cameras, camera]
                if prefix:
                    self._services_of_cameras.append(CameraServices(self, partial(list, [camera]), prefix))
        except Exception:
            self._destroy_cameras()
            raise

    def _destroy_cameras(self) -> None:
        cameras, self._cameras = self._cameras, []
        services, self._services_of_cameras = self._services_of_cameras, []
        for camera in cameras:
            camera.destroy()
        for service in services:
            service.destroy()

    def _activate(self) -> None:
        if not self._cameras:
            raise RuntimeError("no model is loaded; configure the node first")
        if self.parameters.settings.build_only:
            raise RuntimeError("build_only is true: clean up the node and set it to false")
        try:
            for camera in self._cameras:
                camera.start()
        except Exception:
            for camera in self._cameras:
                camera.stop()
            raise
        self._diagnostics.look()
        topics = ", ".join(camera.health.topic for camera in self._cameras)
        self.get_logger().info(f"active: waiting for images on {topics}")

    def _deactivate(self) -> None:
        for camera in self._cameras:
            camera.stop()
        if self._cameras:
            for worker in (self._worker, self._output_worker):
                self._await(worker, _nothing)  # nothing of these cameras is published after this
        self._diagnostics.look()

    def _cleanup(self) -> None:
        self._deactivate()
        if self._jump:
            # rclpy only borrows the handle: one that is dropped without this would be called after its end.
            self._jump.unregister()
            self._jump = None
        self._diagnostics.cameras, self._diagnostics.engines = (), ()
        self._destroy_cameras()
        # Cameras and their subscriptions refer to each other; the engine's memory and threads must not wait for the
        # collector's own time, as the next one may need the room.
        gc.collect()
        self._diagnostics.set_model_state(DiagnosticStatus.WARN, "unconfigured: no model is loaded")

    def _await(self, worker: Worker, job: Callable[..., Any], **kwargs: Any) -> Any:
        """Run a job on one of the threads; meanwhile diagnostics go on and a signal ends the wait."""

        def keep_waiting() -> bool:
            if self.context.ok():
                self._diagnostics.look()
            return self.context.ok()

        return worker.call(partial(job, **kwargs), keep_waiting=keep_waiting)

    def _tolerate_impossible_transitions(self) -> None:
        """Answer a request for a transition that the state does not allow with success = False.

        rclpy lets the error through, and the caller without an answer.
        """
        service = self._service_change_state
        change_state = service.callback

        def answer(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except Exception as error:
                if not self.context.ok():
                    raise
                self.get_logger().warning(f"transition {request.transition.label or request.transition.id}: {error}")
                response.success = False
                return response

        service.callback = answer

    # -- time, parameters -------------------------------------------------------------------------------------

    def _follow_clock(self, max_gap_s: float) -> None:
        """Forget what was seen before the simulation clock jumped; ticks of a slow clock are no jumps."""
        threshold = JumpThreshold(
            min_forward=Duration(seconds=max_gap_s), min_backward=Duration(nanoseconds=-1), on_clock_change=True
        )
        self._jump = self.get_clock().create_jump_callback(threshold, post_callback=self._on_clock_jump)

    def _on_clock_jump(self, jump: object) -> None:
        for camera in self._cameras:
            camera.clock_jumped()

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        problem = self.parameters.check(changes, unconfigured=not self._cameras)
        if problem:
            self.get_logger().warning(problem)
            return SetParametersResult(successful=False, reason=problem)
        self.parameters.accept(changes)
        if self.parameters.concerns(changes):
            for camera in self._cameras:
                camera.apply(self.parameters.with_changes(changes))
        return SetParametersResult(successful=True)


def _nothing() -> None:
    pass


def _runtime_arguments(settings: Settings) -> dict[str, Any]:
    size = settings.input_size
    return {
        "model": settings.model,
        "runtime": settings.runtime,
        "precision": settings.precision,
        "device": settings.device,
        "input_size": None if size == [0, 0] else (size[0], size[1]),
        "threads": settings.threads,
    }
