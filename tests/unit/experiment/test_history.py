"""Evidence of a call is all that was drained since it began, whatever has drained it."""

import time
from types import SimpleNamespace

import pytest

from oomctl.experiment.history import History
from oomctl.experiment.sources import NOTHING, Batch
from oomctl.experiment.waits import Waits
from oomctl.oom.event import EventKind
from oomctl.oom.klog import KernelLog, KillsFromLog
from oomctl.proc.pidfd import PidfdWatch
from tests.unit.oom.observations import event, kill_events, logged


class Sources:
    """Sources that have these batches, one each time that they are drained."""

    no_tracing_reason = ""

    def __init__(self, *batches):
        self.batches = [NOTHING, NOTHING, *batches]

    def drain(self):
        return self.batches.pop(0) if self.batches else NOTHING


def batch(*events, log=None, lost=0):
    log = log or KernelLog()
    return Batch(tuple(events), log, lost, tuple(KillsFromLog().feed(log.records)))


EARLY = batch(event(EventKind.OOM_BEGIN, 1, 9), log=logged(3), lost=2)
TRACED = batch(*kill_events(7), lost=1)
SAID = batch(log=KernelLog(logged(7).records, 4))


@pytest.fixture
def waits(monkeypatch):
    """Give the waits of a round in which an action awaits a mark, so that each tick drains."""
    monkeypatch.setattr("oomctl.experiment.waits._SYSRQ_TIMEOUT", 60)
    monkeypatch.setattr("oomctl.experiment.waits._LOG_TIMEOUT", 60)
    with PidfdWatch() as watch:
        yield lambda history: Waits(
            *(None, None, history, watch, SimpleNamespace(sample=lambda: None)),
            SimpleNamespace(awaits_marks=True, make_due=lambda: None),
        )


def test_what_was_drained_in_between_belongs_to_what_began_before():
    history = History(Sources(EARLY, TRACED, SAID), tuple)
    history.update()
    began = history.position()
    history.update()
    assert history.since(began) == TRACED + SAID
    assert history.since(began) == TRACED + SAID
    assert history.lost == EARLY.lost + TRACED.lost + SAID.lost


def test_the_log_is_awaited_although_each_tick_reads_it(waits):
    history = History(Sources(TRACED, NOTHING, SAID), tuple)
    began = time.monotonic()
    assert waits(history).await_log(history.position()) == TRACED + SAID
    assert time.monotonic() - began < 30


def test_sysrq_is_awaited_although_each_tick_reads_the_log(waits):
    history = History(Sources(NOTHING, NOTHING, SAID), tuple)
    began = time.monotonic()
    waits(history).await_sysrq(history.position())
    assert time.monotonic() - began < 30
