"""The latest wins, and what it displaced is counted."""

from t2g_ros.ros.mailbox import Mailbox


def test_the_reader_is_woken_once_and_gets_the_latest() -> None:
    mailbox: Mailbox[str] = Mailbox()
    assert mailbox.put("a")
    assert not mailbox.put("b")
    assert not mailbox.put("c")
    assert mailbox.take() == "c"
    assert mailbox.take() is None
    assert mailbox.dropped == 2
    assert mailbox.put("d")
    assert mailbox.dropped == 2
