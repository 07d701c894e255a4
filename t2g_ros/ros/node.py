"""The lifecycle node: ties parameters, model, camera, services and diagnostics together."""

from __future__ import annotations

import logging
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
from std_srvs.srv import SetBool, Trigger

from t2g_ros.ros.cameras import Camera
from t2g_ros.ros.deadline import load_ladder
from t2g_ros.ros.diagnostics import Diagnostics
from t2g_ros.ros.parameters import Parameters, Settings
from t2g_ros.ros.worker import Worker
from t2g_ros.runtimes.recovery import load_recovering

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SegmentNode(LifecycleNode):
    """Segments a camera. Configure loads the model, activate subscribes, deactivate keeps the weights."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("segment_node", **kwargs)
        _forward_logs(self)
        self._worker = Worker("inference")
        # What is found is published while the next frame is inferred.
        self._output_worker = Worker("outputs")
        self.parameters = Parameters(self)
        self._diagnostics = Diagnostics(self)
        self._camera: Camera | None = None
        self._jump: JumpHandle | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.create_service(Trigger, "~/reset_memory", self._on_reset_memory)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self._tolerate_impossible_transitions()

    def autostart(self) -> None:
        """Configure and activate if the parameter says so."""
        settings = self.parameters.settings
        if settings.autostart and self.trigger_configure() == SUCCESS and not settings.build_only:
            self.trigger_activate()

    def stop(self, timeout_s: float) -> bool:
        """End the threads; return whether they ended in time, which both have together."""
        if self._camera:
            self._camera.health.active = False
        deadline = monotonic() + timeout_s
        return all(worker.stop(deadline - monotonic()) for worker in (self._worker, self._output_worker))

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
        self._diagnostics.set_model_state(DiagnosticStatus.OK, f"loading model {settings.model}")
        start = perf_counter()
        options = _runtime_arguments(settings)
        on_worker = partial(self._await, self._worker)
        runtime = on_worker(load_recovering, **options)
        deadline = settings.target_latency_ms > 0
        ladder = load_ladder(runtime, options, settings.lag_frames, on_worker) if deadline else None
        workers = self._worker, self._output_worker
        self._camera = Camera(self, *workers, runtime, settings, ladder, self._diagnostics.look)
        self._follow_clock(settings.max_gap_s)
        self._diagnostics.runtime = runtime
        self._diagnostics.camera = self._camera
        text = (
            f"model {runtime.model_name} on {runtime.name} in {runtime.precision} ({runtime.device}); {runtime.reason}"
        )
        self.get_logger().info(f"{text}; loaded in {perf_counter() - start:.1f} s")
        if settings.build_only:
            self.get_logger().info("build_only: what the engine needs is built and cached; staying inactive")
        self._diagnostics.set_model_state(DiagnosticStatus.OK, text)

    def _activate(self) -> None:
        if self._camera is None:
            raise RuntimeError("no model is loaded; configure the node first")
        if self.parameters.settings.build_only:
            raise RuntimeError("build_only is true: clean up the node and set it to false")
        try:
            self._camera.start()
        except Exception:
            self._camera.stop()
            raise
        self._diagnostics.look()
        self.get_logger().info(f"active: waiting for images on {self._camera.health.topic}")

    def _deactivate(self) -> None:
        if self._camera:
            self._camera.stop()
            for worker in (self._worker, self._output_worker):
                self._await(worker, _nothing)  # nothing of this camera is published after this
        self._diagnostics.look()

    def _cleanup(self) -> None:
        self._deactivate()
        if self._jump:
            # rclpy only borrows the handle: one that is dropped without this would be called after its end.
            self._jump.unregister()
            self._jump = None
        camera, self._camera = self._camera, None
        self._diagnostics.camera = self._diagnostics.runtime = None
        if camera:
            camera.destroy()
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

        rclpy lets the error end the executor, and with it the process.
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

    # -- time, parameters, services --------------------------------------------------------------------------

    def _follow_clock(self, max_gap_s: float) -> None:
        """Forget what was seen before the simulation clock jumped; ticks of a slow clock are no jumps."""
        threshold = JumpThreshold(
            min_forward=Duration(seconds=max_gap_s), min_backward=Duration(nanoseconds=-1), on_clock_change=True
        )
        self._jump = self.get_clock().create_jump_callback(threshold, post_callback=self._on_clock_jump)

    def _on_clock_jump(self, jump: object) -> None:
        if self._camera:
            self._camera.clock_jumped()

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        problem = self.parameters.check(changes, unconfigured=self._camera is None)
        if problem:
            self.get_logger().warning(problem)
            return SetParametersResult(successful=False, reason=problem)
        self.parameters.accept(changes)
        if self._camera:
            self._camera.apply(self.parameters.with_changes(changes))
        return SetParametersResult(successful=True)

    def _on_reset_memory(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._camera is not None
        response.message = "no model is loaded; configure the node first"
        if self._camera:
            self._camera.reset("reset_memory")
            response.message = "the next image starts with an empty memory"
        return response

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success = self._camera is not None
        response.message = "no model is loaded; configure the node first"
        if self._camera:
            self._camera.enable(request.data)
            response.message = "segmenting" if request.data else "not segmenting"
        return response


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


class _ToRosLog(logging.Handler):
    """Brings what the layers below say to the node's log."""

    def __init__(self, node: SegmentNode) -> None:
        super().__init__()
        self._logger = node.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # rclpy fixes the severity of a call by its line, so each has a line of its own.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def _forward_logs(node: SegmentNode) -> None:
    package = logging.getLogger("t2g_ros")
    package.handlers = [_ToRosLog(node)]
    package.setLevel(logging.DEBUG)  # the ROS logger has the say
    package.propagate = False
