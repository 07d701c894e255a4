"""Processes that tests interrupt."""

import signal

INTERRUPTED = (130, -signal.SIGINT)
"""Return codes of an interrupted command; a shell reports 130 for both. Where the interrupt meets code that a library
compiles by `exec`, CPython ends the process by the signal itself, though the exception is handled."""


def heed_interrupts() -> None:
    """For `preexec_fn`: a suite that runs in the background ignores SIGINT, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
