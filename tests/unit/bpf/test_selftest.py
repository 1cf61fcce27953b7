"""The process that ends for the self-test is real here, the kernel's counters are not."""

import os
import signal
import time
from itertools import chain, combinations

import psutil
import pytest

from oomctl.bpf import selftest
from oomctl.bpf.selftest import TESTED, silent_programs
from oomctl.errors import OomctlError

ATTACHED = ("oom_begin", "sigkill", "mark_victim", "process_exit", "missed_exit")


class Counters:
    """What the programs count when they are asked; each runs from a certain reading on."""

    def __init__(self, runs_from):
        self.runs_from, self.readings = runs_from, 0

    def __call__(self):
        self.readings += 1
        return {
            name: 9 + (name in self.runs_from and self.readings > self.runs_from[name])
            for name in ATTACHED
        }


@pytest.fixture(autouse=True)
def no_process_left():
    yield
    assert [p for p in psutil.Process().children() if p.name() == "oomctl-probe"] == []


def test_each_that_should_have_run_and_did_not_is_named():
    tried = sorted(TESTED)
    sets = chain.from_iterable(combinations(tried, n) for n in range(len(tried) + 1))
    for silent in sets:
        counters = Counters({name: 1 for name in ATTACHED if name not in silent})
        assert set(silent_programs(ATTACHED, counters)) == set(silent)


def test_a_program_that_misses_one_process_is_tested_again():
    counters = Counters({"sigkill": 1, "process_exit": 2, "missed_exit": 1})
    assert silent_programs(ATTACHED, counters) == ()
    assert counters.readings == 3


def test_a_program_that_is_not_attached_is_not_missed():
    assert silent_programs(("oom_begin", "mark_victim"), Counters({})) == ()


def test_the_process_ends_by_itself_and_is_reaped(monkeypatch):
    statuses = []
    wait = os.waitpid

    def waited(pid, options):
        statuses.append(wait(pid, options)[1])
        return pid, statuses[-1]

    monkeypatch.setattr(os, "waitpid", waited)
    silent_programs(ATTACHED, Counters(dict.fromkeys(ATTACHED, 1)))
    assert statuses == [0]


def test_sigchld_may_be_ignored():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        silent = silent_programs(ATTACHED, Counters(dict.fromkeys(ATTACHED, 1)))
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert silent == ()


def test_a_process_that_does_not_end_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(selftest, "_signalled", lambda: time.sleep(600))
    monkeypatch.setattr(selftest, "_PATIENCE", 0.05)
    began = time.monotonic()
    silent_programs(ATTACHED, Counters(dict.fromkeys(ATTACHED, 1)))
    assert time.monotonic() - began < 60


def test_a_process_that_cannot_be_started_is_an_error(monkeypatch):
    def full():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    with pytest.raises(OomctlError, match="cannot start"):
        silent_programs(ATTACHED, Counters({}))
