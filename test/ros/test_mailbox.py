"""The latest wins, and what it displaced is counted."""

from time import monotonic_ns

from t2g_ros.ros.mailbox import Mailbox


def test_the_reader_is_woken_once_and_gets_the_latest() -> None:
    mailbox: Mailbox[str] = Mailbox()
    assert mailbox.put("a")
    assert not mailbox.put("b")
    assert not mailbox.put("c")
    assert mailbox.take() == "c"
    assert mailbox.take() is None
    assert mailbox.dropped == 2
    assert mailbox.since_ns is None
    assert mailbox.put("d")
    assert mailbox.dropped == 2


def test_it_knows_since_when_somebody_waits_whatever_is_displaced() -> None:
    mailbox: Mailbox[str] = Mailbox()
    before = monotonic_ns()
    mailbox.put("a")
    since = mailbox.since_ns
    assert since is not None
    assert before <= since <= monotonic_ns()
    mailbox.put("b")
    assert mailbox.since_ns == since
    mailbox.take()
    mailbox.put("c")
    assert mailbox.since_ns is not None
    assert mailbox.since_ns > since
