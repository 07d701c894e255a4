"""A child process of the demo, which ends with its `with` block and whose failure is told with the end of its log."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from t2g_ros.errors import T2GError

STOP_TIMEOUT_S = 30.0


class DemoError(T2GError):
    """One of the demo's processes failed; the message names its log."""


class Process:
    """A child process whose output goes to a file; ends with the `with` block."""

    def __init__(self, name: str, argv: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._file = log.open("wb")
        self._process = subprocess.Popen(argv, stdout=self._file, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it still runs.

        Raises:
            DemoError: it has ended with an error.
        """
        code = self._process.poll()
        if code:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
            raise DemoError(f"the {self.name} process ended with exit code {code}; the end of {self.log}:\n{tail}")
        return code is None

    def stop(self) -> None:
        """Interrupt it as Ctrl-C does and wait.

        Raises:
            DemoError: it does not end, or not with exit code 0.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the {self.name} process did not end within {STOP_TIMEOUT_S:.0f} s of SIGINT") from None
        self.is_running()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._file.close()
