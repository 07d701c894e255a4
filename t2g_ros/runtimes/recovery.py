"""A runtime that outlives its engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeVar

import numpy as np

from t2g_ros.errors import EngineDown, ModelError
from t2g_ros.model.shipped import resolve_model
from t2g_ros.runtimes import int8, load_runtime
from t2g_ros.runtimes.base import Runtime
from t2g_ros.runtimes.model_files import ModelFiles
from t2g_ros.runtimes.reloading import ReloadingEngine

Result = TypeVar("Result")
CHANGED = (
    "has changed on disk since the node was configured; clean the node up and configure it to take the new model, or "
    "put the old one back"
)


def load_recovering(**options: Any) -> RecoveringRuntime:
    """`load_runtime` of these arguments; what `auto` takes now is also what is loaded later, from the same weights.

    Raises:
        Exception: what `load_runtime` raises, the first time.
    """
    taken: dict[str, Any] = {}
    weights = resolve_model(options["model"])
    files = ModelFiles([weights, weights.with_suffix(".yaml")])

    def load() -> Runtime:
        # The node goes on with the model that it was configured with, or with none.
        if files.changed():
            raise ModelError(f"model {weights}: {CHANGED}")
        runtime = load_runtime(**(options | taken))
        if not taken and runtime.precision == "int8":
            files.add(int8.parts(weights, runtime.input_size, runtime.name))
        taken.update(runtime=runtime.name, precision=runtime.precision)
        return runtime

    return RecoveringRuntime(load, files=files)


class RecoveringRuntime:
    """See `runtimes.base.Runtime`; the engine behind it, which its streams share, may go and come. For one thread.

    What an engine raises is raised on, so whoever remembers slots forgets them. When no mask came of some frames, or
    there was no memory, the engine is given up with all it holds, and loaded again in a later `encode`. Until that
    works, `encode` raises `EngineDown`; and it does so once for every other stream, whose memory went with the engine.

    Args:
        load: loads an engine, the same at every call.
        clock: seconds that only grow.
        files: what it loads engines of.

    Raises:
        Exception: what `load` raises, the first time.
    """

    def __init__(
        self,
        load: Callable[[], Runtime],
        clock: Callable[[], float] = time.monotonic,
        files: ModelFiles | None = None,
    ) -> None:
        self._files = files
        self._shared = ReloadingEngine(load, clock)
        self._own: Runtime | None = None
        self._remembers = False  # whether somebody counts on what is in the buffers
        self._take_over(self._shared.stream())

    def _take_over(self, own: Runtime) -> None:
        self._own = own
        self._shared.on_given_up.append(self._drop)
        self.name = own.name
        self.precision = own.precision
        self.device = own.device
        self.reason = own.reason
        self.model_name = own.model_name
        self.labels = own.labels
        self.input_size = own.input_size
        self.slots = own.slots
        self.batch_frames = own.batch_frames
        self.memory_bytes = own.memory_bytes

    def _drop(self) -> None:
        self._own = None

    def another(self) -> RecoveringRuntime:
        """See `Runtime.another`; raises as `encode` does."""
        other = copy(self)
        other._remembers = False
        other._take_over(self._shared.stream())
        return other

    @property
    def trouble(self) -> str | None:
        """What the engine failed of and when it is tried again; None while it works."""
        return self._shared.trouble

    @property
    def outdated(self) -> str | None:
        """That the model is another one on disk than the engine's; None while it is the same."""
        return CHANGED if self._files is not None and self._files.changed() else None

    @property
    def recreations(self) -> int:
        """How often the engine was loaded again."""
        return self._shared.recreations

    @property
    def gpu_memory_bytes(self) -> int | None:
        """See `Runtime.gpu_memory_bytes`; None while there is no engine."""
        engine = self._shared.engine
        return None if engine is None else engine.gpu_memory_bytes

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        """See `Runtime.encode`.

        Raises:
            EngineDown: the engine is given up and not back yet, or it is back without what this stream remembers.
            Exception: what the engine raises.
        """
        if self._own is None:
            self._own = self._counted(self._shared.stream)
            if self._remembers:
                self._remembers = False
                raise self._lost()
        self._run(lambda own: own.encode(rgb, slot))
        self._remembers = True

    def encode_batch(self, images: np.ndarray, places: Sequence[tuple[Runtime, int]]) -> None:
        """See `Runtime.encode_batch`; raises as `encode` does, and the frames may still be encoded alone."""
        inner: list[tuple[Runtime, int]] = []
        for runtime, slot in places:
            assert isinstance(runtime, RecoveringRuntime)
            if runtime._own is None:
                raise self._lost()
            inner.append((runtime._own, slot))
        try:
            inner[0][0].encode_batch(images, inner)
        except Exception as error:  # nobody forgets anything before a frame of his has failed
            self._shared.failed(error)
            raise
        for runtime, _ in places:
            runtime._remembers = True  # type: ignore[attr-defined]

    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Runtime.decode`; raises as `encode` does."""
        results = self._run(lambda own: own.decode(slot, offsets_s, valid))
        self._shared.worked()
        return results

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """See `Runtime.decode_scores`; raises as `encode` does."""
        return self._run(lambda own: own.decode_scores(slot, offsets_s, valid))

    def _run(self, work: Callable[[Runtime], Result]) -> Result:
        own = self._own
        if own is None:  # given up since the frame was encoded
            self._remembers = False
            raise self._lost()
        return self._counted(lambda: work(own))

    def _counted(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except Exception as error:
            self._remembers = False  # whoever counted on it is told with this error
            if not isinstance(error, EngineDown):
                self._shared.failed(error)
            raise

    def _lost(self) -> EngineDown:
        if self._shared.trouble:
            return self._shared.down()
        return EngineDown(f"engine {self.name} was loaded again; what was remembered is lost")
