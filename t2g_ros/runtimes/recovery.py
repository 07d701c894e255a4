"""A runtime that outlives its engine: one that keeps failing is given up and loaded again, ever less often."""

from __future__ import annotations

import gc
import logging
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from t2g_ros.errors import EngineDown, ModelError
from t2g_ros.runtimes import load_runtime
from t2g_ros.runtimes.base import Runtime

log = logging.getLogger(__name__)

FAILURES = 3
"""Frames without a mask, one after another, after which an engine is given up; out of memory, the first is enough."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 0.5
"""Until it is loaded again; doubled by every time in vain. The longest lets it be back within a second of the cause's
end, but an engine that takes longer than that to load waits as long as it takes: the machine is not for loading."""
OUT_OF_MEMORY = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "nvml_success",  # Jetson's allocator asserts
)
Result = TypeVar("Result")


def load_recovering(**options: Any) -> RecoveringRuntime:
    """`load_runtime` of these arguments; what `auto` takes now is also what is loaded later.

    Raises:
        Exception: what `load_runtime` raises, the first time.
    """
    taken: dict[str, Any] = {}

    def load() -> Runtime:
        runtime = load_runtime(**(options | taken))
        taken.update(runtime=runtime.name, precision=runtime.precision)
        return runtime

    return RecoveringRuntime(load)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an engine's error says that there is no memory; each library has a type and words of its own."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY)


def release(error: BaseException) -> None:
    """Give back what is held for nothing because of an engine's error; if that is about memory, on the GPU too."""
    # What failed holds the engine's arrays in its frames, until somebody drops the error.
    failed: BaseException | None = error
    while failed is not None:
        traceback.clear_frames(failed.__traceback__)
        failed = failed.__cause__ or failed.__context__
    if not is_out_of_memory(error):
        return  # this takes tenths of a second
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with suppress(Exception):  # a device that has failed altogether
            torch.cuda.empty_cache()


class RecoveringRuntime:
    """See `runtimes.base.Runtime`; the engine behind it may go and come. For one thread.

    What an engine raises is raised on, so whoever remembers slots forgets them. When no mask came of `FAILURES` frames,
    or there was no memory, the engine is given up with all it holds, and loaded again in a later `encode`. Until that
    works, `encode` raises `EngineDown`.

    Args:
        load: loads an engine, the same at every call.
        clock: seconds that only grow.

    Raises:
        Exception: what `load` raises, the first time.
    """

    def __init__(self, load: Callable[[], Runtime], clock: Callable[[], float] = time.monotonic) -> None:
        self.trouble: str | None = None
        """What the engine failed of and when it is tried again; None while it works."""
        self.recreations = 0
        """How often it was loaded again."""
        self._load = load
        self._clock = clock
        self._failures = 0  # since the last mask
        self._attempts = 0  # to load it again, since the last mask
        self._cause = ""
        self._retry_at = self._load_s = 0.0
        self._engine: Runtime | None = (engine := load())
        self.name = engine.name
        self.precision = engine.precision
        self.device = engine.device
        self.reason = engine.reason
        self.model_name = engine.model_name
        self.labels = engine.labels
        self.input_size = engine.input_size
        self.slots = engine.slots
        self.memory_bytes = engine.memory_bytes

    @property
    def gpu_memory_bytes(self) -> int | None:
        """See `Runtime.gpu_memory_bytes`; None while there is no engine."""
        engine = self._engine
        return None if engine is None else engine.gpu_memory_bytes

    def encode(self, rgb: np.ndarray, slot: int) -> None:
        """See `Runtime.encode`.

        Raises:
            EngineDown: the engine is given up, and not back yet.
            Exception: what the engine raises.
        """
        if self._engine is None:
            self._engine = self._loaded_again()
        self._run(lambda engine: engine.encode(rgb, slot))

    def decode(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Runtime.decode`; raises as `encode` does."""
        results = self._run(lambda engine: engine.decode(slot, offsets_s, valid))
        if self.trouble is not None:
            log.warning("engine %s: works again, loaded %d time(s)", self.name, self._attempts)
            self.trouble = None
        self._failures = self._attempts = 0
        return results

    def decode_scores(self, slot: int, offsets_s: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """See `Runtime.decode_scores`; raises as `encode` does."""
        return self._run(lambda engine: engine.decode_scores(slot, offsets_s, valid))

    def _run(self, work: Callable[[Runtime], Result]) -> Result:
        if self._engine is None:  # given up since the frame was encoded
            raise self._down()
        try:
            return work(self._engine)
        except Exception as error:
            self._failures += 1
            # One that was just loaded again gets no three chances.
            if self._failures >= FAILURES or self._attempts or is_out_of_memory(error):
                self._give_up(error)
            raise

    def _give_up(self, error: Exception) -> None:
        self._note(error)
        self._engine = None
        release(error)

    def _loaded_again(self) -> Runtime:
        if self._clock() < self._retry_at:
            raise self._down()
        self._attempts += 1
        start = self._clock()
        try:
            engine = self._load()
            self._check(engine)
        except Exception as error:
            self._load_s = self._clock() - start
            self._note(error)
            release(error)
            raise self._down() from None
        self._load_s = self._clock() - start
        self.recreations += 1
        return engine

    def _check(self, engine: Runtime) -> None:
        """Whoever uses this has sized his outputs and named their classes already."""
        for key in ("labels", "input_size", "slots"):
            if getattr(engine, key) != getattr(self, key):
                raise ModelError(
                    f"model {self.model_name}: has changed on disk: its {key} is not what the node was configured for; "
                    "clean the node up and configure it to take the new model"
                )

    def _note(self, error: Exception) -> None:
        """Say what went wrong, the first time also in the log, and decide when to try next."""
        wait_s = min(FIRST_WAIT_S * 2**self._attempts, max(LONGEST_WAIT_S, self._load_s))
        self._retry_at = self._clock() + wait_s
        self._cause = f"{type(error).__name__}: {error}"
        if self.trouble is None:
            log.error("engine %s on %s: given up, and loaded again: %s", self.name, self.device, self._cause)
        self.trouble = f"engine {self.name} given up: {self._cause}; loaded again {self._attempts} time(s) since"

    def _down(self) -> EngineDown:
        return EngineDown(f"{self.trouble}; the next try is in {max(0.0, self._retry_at - self._clock()):.2f} s")
