"""Processes that tests interrupt."""

import signal


def heed_interrupts() -> None:
    """For `preexec_fn`: a suite that runs in the background ignores SIGINT, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
