"""An engine that is given up when it keeps failing, and loaded again, ever less often."""

from __future__ import annotations

import gc
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from t2g_ros.errors import EngineDown
from t2g_ros.runtimes.base import Runtime

log = logging.getLogger(__name__)

FAILURES = 3
"""Frames without a mask, one after another, after which an engine is given up; out of memory, the first is enough."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 0.5
"""Until it is loaded again; doubled by every time in vain, as far as `_longest_wait_s` allows."""
RECOVERY_S = 0.8
"""What waiting and loading should take together at most, so that a mask is there within a second of the cause's end."""
LEAST_WAIT_S = 0.15
"""What the longest wait is not less than: the machine is not for loading alone."""
OUT_OF_MEMORY = (
    "out of memory",
    "out_of_memory",
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "nvml_success",  # Jetson's allocator asserts
)


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


class ReloadingEngine:
    """The engine of one network, whose streams have a runtime each. For one thread.

    Args:
        load: loads an engine, of the same model at every call.
        clock: seconds that only grow.

    Raises:
        Exception: what `load` raises, the first time.
    """

    def __init__(self, load: Callable[[], Runtime], clock: Callable[[], float]) -> None:
        self.trouble: str | None = None
        """What the engine failed of and when it is tried again; None while it works."""
        self.recreations = 0
        """How often it was loaded again."""
        self.on_given_up: list[Callable[[], None]] = []
        """Called when the engine is given up, so that everybody drops what belongs to it."""
        self._load = load
        self._clock = clock
        self._failures = 0  # since the last mask
        self._attempts = 0  # to load it again, since the last mask
        self._cause = ""
        self._attempt_s = self._load_s = 0.0  # what the last load took, and the last one that worked
        self._retry_at = 0.0
        engine = self._timed_load()
        self._load_s = min(self._load_s, RECOVERY_S)  # the first may have converted the model, others read it
        self._told = engine.name, engine.device
        self._engine: Runtime | None = engine
        self._is_free = True  # no stream has the engine's own buffers

    @property
    def engine(self) -> Runtime | None:
        """What was loaded last, None while it is given up."""
        return self._engine

    def stream(self) -> Runtime:
        """Return a runtime for one more stream, of the engine loaded again if it is time to.

        Raises:
            EngineDown: the engine is given up, and not back yet.
            Exception: what the engine raises.
        """
        if self._engine is None:
            self._engine, self._is_free = self._loaded_again(), True
        engine, is_free = self._engine, self._is_free
        self._is_free = False
        return engine if is_free else engine.another()

    def worked(self) -> None:
        """Note that a mask came of it."""
        if self.trouble is not None:
            log.warning("engine %s: works again, loaded %d time(s)", self._told[0], self._attempts)
            self.trouble = None
        self._failures = self._attempts = 0

    def failed(self, error: Exception) -> None:
        """Note that no mask came of it, and give the engine up if that was too much."""
        self._failures += 1
        # One that was just loaded again gets no three chances.
        if self._failures >= FAILURES or self._attempts or is_out_of_memory(error):
            self._note(error)
            self._engine = None
            for drop in self.on_given_up:
                drop()
            release(error)

    def down(self) -> EngineDown:
        """What to raise while there is no engine."""
        return EngineDown(f"{self.trouble}; the next try is in {max(0.0, self._retry_at - self._clock()):.2f} s")

    def _loaded_again(self) -> Runtime:
        if self._clock() < self._retry_at:
            raise self.down()
        self._attempts += 1
        try:
            engine = self._timed_load()
        except Exception as error:
            self._note(error)
            release(error)
            raise self.down() from None
        self.recreations += 1
        return engine

    def _timed_load(self) -> Runtime:
        start = self._clock()
        try:
            engine = self._load()
        finally:
            self._attempt_s = self._clock() - start
        self._load_s = self._attempt_s
        return engine

    def _longest_wait_s(self) -> float:
        # Loads that fail mostly fail soon, so this goes by those that worked, too.
        load_s = max(self._load_s, self._attempt_s)
        spare_s = RECOVERY_S - load_s
        # What takes longer than that all by itself waits the longer, up to as long as it takes.
        longest_s = min(spare_s, LONGEST_WAIT_S) if spare_s > 0 else min(-2 * spare_s, load_s)
        return max(longest_s, LEAST_WAIT_S)

    def _note(self, error: Exception) -> None:
        """Say what went wrong, the first time also in the log, and decide when to try next."""
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(self._attempts, 30), self._longest_wait_s())
        self._retry_at = self._clock() + wait_s
        self._cause = f"{type(error).__name__}: {error}"
        if self.trouble is None:
            log.error("engine %s on %s: given up, and loaded again: %s", *self._told, self._cause)
        self.trouble = f"engine {self._told[0]} given up: {self._cause}; loaded again {self._attempts} time(s) since"
