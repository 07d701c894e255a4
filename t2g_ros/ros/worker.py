"""Threads that run jobs in order: one touches models, one publishes what it found, some convert images."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")

POLL_S = 0.1


class Worker:
    """Runs jobs one after another on a thread of its own, of this name."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._stopping = False
        # A daemon, because an engine that compiles for half a minute must not hold up the end of the process.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[..., Result], *args: Any) -> Future[Result]:
        """Queue a job and return its future, which also holds what the job may raise."""
        future: Future[Result] = Future()
        self._jobs.put((future, job, args))
        return future

    def call(self, job: Callable[..., Result], *args: Any, keep_waiting: Callable[[], bool]) -> Result:
        """Run a job after those before it and return its result.

        Args:
            job: what to run.
            args: its arguments.
            keep_waiting: asked ten times a second; False gives up, so that a signal ends the process even
                while an engine compiles.

        Raises:
            InterruptedError: `keep_waiting` said no; the job may still be running.
            Exception: whatever the job raises.
        """
        future = self.submit(job, *args)
        while not wait([future], timeout=POLL_S).done:
            if not keep_waiting():
                future.cancel()
                raise InterruptedError("the process is shutting down")
        return future.result()

    def stop(self, timeout_s: float) -> bool:
        """Drop the jobs that have not begun and wait for the running one; return whether the thread has ended."""
        self._stopping = True
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None:
            future, job, args = entry
            if self._stopping:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job(*args))
            except BaseException as error:  # belongs to whoever holds the future
                future.set_exception(error)
            del entry, future, job, args  # a finished job must not keep its frame alive
