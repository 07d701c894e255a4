"""What a camera's state is when frames are late, hang, or do not come."""

from diagnostic_msgs.msg import DiagnosticStatus

from t2g_ros.ros.health import STAGES, CameraHealth, State, Verdict
from t2g_ros.ros.parameters import Settings

SETTINGS = Settings(max_allowed_processing_time_ms=100.0, max_acceptable_consecutive_delay_ms=500.0, stale_after_s=5.0)
MS = 1_000_000
START = 10**12


def frame(health: CameraHealth, at_ms: int, took_ms: float) -> Verdict:
    """Segment a frame that arrives at `at_ms`, and judge when it is out."""
    health.last_received_ns = START + at_ms * MS
    health.started(START + at_ms * MS)
    out = START + at_ms * MS + round(took_ms * MS)
    stages = dict.fromkeys(STAGES, 0.0) | {"encode": took_ms}
    health.finished(stages, out, SETTINGS.max_allowed_processing_time_ms)
    health.ended(START + at_ms * MS)
    return health.verdict(out, out, SETTINGS, 1)


def active() -> CameraHealth:
    return CameraHealth(topic="/image_raw", active=True)


def test_one_late_frame_warns_and_a_run_of_them_is_an_error_until_one_is_in_time() -> None:
    health = active()
    assert frame(health, 0, 50).state == State.OK
    verdicts = [frame(health, 200 * i, 150) for i in range(1, 6)]
    assert [v.state for v in verdicts] == [State.LATE] * 5
    assert [v.level for v in verdicts] == [DiagnosticStatus.WARN] * 2 + [DiagnosticStatus.ERROR] * 3
    assert frame(health, 1200, 50).state == State.OK
    assert frame(health, 1400, 150).level == DiagnosticStatus.WARN


def test_a_frame_that_is_late_after_a_pause_is_no_long_delay() -> None:
    health = active()
    frame(health, 0, 50)
    assert frame(health, 4000, 150).level == DiagnosticStatus.WARN
    health.forget_lateness()
    assert frame(health, 60_000, 150).level == DiagnosticStatus.WARN


def test_an_engine_that_hangs_is_late_while_images_keep_arriving() -> None:
    health = active()
    frame(health, 0, 50)
    health.started(START + 100 * MS)
    health.last_received_ns = START + 3000 * MS
    levels = [health.verdict(START + at * MS, START + at * MS, SETTINGS, 1).level for at in (150, 300, 700)]
    assert levels == [DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR]
    assert health.processing_ms(START + 700 * MS) == 600
    assert health.delay_ms(START + 700 * MS, 100.0) == 600


def test_a_camera_whose_images_wait_while_the_engine_hangs_on_another_s_is_late() -> None:
    health = active()
    frame(health, 0, 50)
    health.waiting_since_ns = START + 100 * MS
    health.last_received_ns = START + 3000 * MS
    levels = [health.verdict(START + at * MS, START + at * MS, SETTINGS, 1).level for at in (150, 300, 700)]
    assert levels == [DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR]
    health.waiting_since_ns = None
    assert health.verdict(START + 800 * MS, START + 800 * MS, SETTINGS, 1).state == State.OK


def test_also_the_very_first_frame_may_hang() -> None:
    health = active()
    health.last_received_ns = START
    health.started(START)
    assert health.verdict(START + 600 * MS, START + 600 * MS, SETTINGS, 1).level == DiagnosticStatus.ERROR


def test_a_camera_whose_qos_never_fitted_is_told_from_one_that_fell_silent() -> None:
    health = active()
    health.incompatible_qos = "offers durability that this subscription cannot take"
    assert health.verdict(START, START, SETTINGS, 1).state == State.INCOMPATIBLE_QOS
    health.incompatible_qos = None
    frame(health, 0, 50)
    assert health.verdict(START + 6000 * MS, START + 6000 * MS, SETTINGS, 1).state == State.STALE


def test_the_end_of_a_frame_does_not_hide_that_the_next_one_hangs() -> None:
    health = active()
    health.last_received_ns = START
    for started_ns in (START, START + 10 * MS):
        health.started(started_ns)
    health.ended(START)
    assert health.verdict(START + 400 * MS, START + 400 * MS, SETTINGS, 1).state == State.LATE
    health.ended(START + 10 * MS)
    assert health.verdict(START + 400 * MS, START + 400 * MS, SETTINGS, 1).state == State.OK


def test_lateness_is_of_work_and_not_of_the_simulations_clock() -> None:
    health = active()
    frame(health, 0, 50)
    health.started(START + 100 * MS)
    health.last_received_ns = START + 3000 * MS
    # A bag at five times the speed, and one that jumped ahead by a minute while the engine was at work.
    for now_ns in (START + 350 * MS, START + 3000 * MS):
        assert health.verdict(now_ns, START + 150 * MS, SETTINGS, 1).state == State.OK
    assert health.verdict(START, START + 250 * MS, SETTINGS, 1).state == State.LATE


def test_without_simulation_time_nothing_can_be_said_of_silence() -> None:
    health = active()
    health.last_received_ns = 0
    verdict = health.verdict(0, START, SETTINGS, 1)
    assert (verdict.state, verdict.level) == (State.NO_CLOCK, DiagnosticStatus.WARN)


def test_an_alarm_is_told_unless_something_worse_is() -> None:
    health = active()
    health.alarms = {"mean_flicker": "mean flicker is 0.2"}
    verdict = frame(health, 0, 50)
    assert (verdict.state, verdict.level) == (State.UNSTABLE, DiagnosticStatus.WARN)
    assert verdict.message == "unstable: mean flicker is 0.2"
    assert frame(health, 200, 150).state == State.LATE
    health.alarms = {}
    assert frame(health, 400, 50).state == State.OK


def test_lost_images_add_up_and_what_no_camera_can_have_sent_is_not_among_them() -> None:
    health = active()
    for frames in (3, 2**31 - 73, 4):
        health.lose(frames)
    assert health.lost == 7
