"""Jobs run in order on one thread; waiting for one can be given up."""

import threading

import pytest

from t2g_ros.ros.worker import Worker


def test_jobs_run_in_order_on_one_thread_that_is_not_the_callers() -> None:
    worker = Worker("test")
    ran: list[tuple[int, int]] = []
    futures = [worker.submit(lambda i=i: ran.append((i, threading.get_ident()))) for i in range(50)]
    futures[-1].result(timeout=30)
    assert [i for i, _ in ran] == list(range(50))
    assert len({thread for _, thread in ran}) == 1
    assert ran[0][1] != threading.get_ident()
    assert worker.stop(30)


def test_a_call_returns_or_raises_what_the_job_does() -> None:
    worker = Worker("test")
    assert worker.call(sum, [1, 2], keep_waiting=lambda: True) == 3
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0, keep_waiting=lambda: True)
    assert worker.call(sum, [3], keep_waiting=lambda: True) == 3
    assert worker.stop(30)


def test_a_call_can_be_given_up_and_a_stop_tells_that_the_job_still_runs() -> None:
    worker = Worker("test")
    release = threading.Event()
    with pytest.raises(InterruptedError):
        worker.call(release.wait, keep_waiting=lambda: False)
    never = worker.submit(pytest.fail, "a job that had not begun ran after stop")
    assert not worker.stop(0.1)
    release.set()
    assert worker.stop(30)
    assert never.cancelled()
