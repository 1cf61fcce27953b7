import signal

import pytest

from oomctl.oom.fate import Death, Fate, fate_of

BY_SIGKILL = Death(7, 1, signal=signal.SIGKILL)
BY_SIGTERM = Death(7, 1, signal=signal.SIGTERM)
EXITED = Death(7, 1, status=3)
NOT_OURS = Death(7, 1)


@pytest.mark.parametrize(
    ("death", "oom_killed", "fate"),
    [
        (None, False, "survived"),
        (None, True, "dying"),
        (BY_SIGKILL, True, "oom-killed"),
        (BY_SIGKILL, False, "killed SIGKILL by another process"),
        (BY_SIGTERM, True, "killed SIGTERM by another process"),
        (BY_SIGTERM, False, "killed SIGTERM by another process"),
        (EXITED, True, "exited 3"),
        (EXITED, False, "exited 3"),
        (Death(7, 1, status=0), False, "exited 0"),
        (NOT_OURS, True, "oom-killed"),
        (NOT_OURS, False, "gone, not by the OOM killer"),
    ],
)
def test_fate_needs_the_wait_status_and_the_kernels_word(death, oom_killed, fate):
    assert str(fate_of(death, oom_killed)) == fate


@pytest.mark.parametrize(
    ("fate", "name"),
    [
        (Fate("survived"), None),
        (Fate("oom-killed", signal=9), "SIGKILL"),
        (Fate("killed", signal=signal.SIGRTMIN + 5), f"SIG{signal.SIGRTMIN + 5}"),
    ],
)
def test_signal_name(fate, name):
    assert fate.signal_name == name


def test_an_oom_kill_of_a_stranger_is_a_sigkill_too():
    assert fate_of(NOT_OURS, True).signal_name == "SIGKILL"
