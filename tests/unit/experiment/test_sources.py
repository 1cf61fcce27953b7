"""A batch of evidence: what the log still lacks, and what was killed for a caller."""

from dataclasses import replace

import pytest

from oomctl.experiment.sources import Batch
from oomctl.oom.event import EventKind
from oomctl.oom.klog import KernelLog, KillsFromLog
from tests.unit.oom.observations import CALLER, event, kill_events, logged

BEGIN = event(EventKind.OOM_BEGIN, 1100, CALLER)
SIGNAL, MARK = kill_events(7)
SAID = logged(7)


@pytest.mark.parametrize(
    ("events", "log", "is_unlogged"),
    [
        ((BEGIN, SIGNAL, MARK), KernelLog(), True),
        ((BEGIN, SIGNAL, MARK), SAID, False),
        ((BEGIN, SIGNAL, MARK), KernelLog(lost=1), False),
        ((BEGIN, MARK), KernelLog(), False),  # it was exiting already: no line comes
        ((MARK,), KernelLog(), True),  # the programs on functions are silent, and the signal's
        ((MARK,), SAID, False),
        ((BEGIN, SIGNAL), KernelLog(), False),  # a sharer
        ((), KernelLog(), False),
    ],
)
def test_a_line_of_a_victim_is_missing(events, log, is_unlogged):
    batch = Batch(events, log, 0, tuple(KillsFromLog().feed(log.records)))
    assert batch.is_unlogged == is_unlogged


def test_a_begin_that_was_lost_is_not_waited_for():
    assert not Batch((MARK,), KernelLog(), 1).is_unlogged


@pytest.mark.parametrize(
    ("events", "invokers", "sysrq", "killed"),
    [
        ((), {CALLER}, False, set()),  # its line names no invoker
        ((MARK,), {CALLER}, False, {7}),
        ((MARK,), {CALLER + 1}, False, set()),
        ((replace(MARK, tgid=6),), {CALLER}, False, {6}),  # its leader had ended
        ((MARK,), set(), True, {7}),  # a worker of the kernel has invoked it
    ],
)
def test_what_was_killed_for_a_caller_although_no_report_says_so(events, invokers, sysrq, killed):
    batch = Batch(events, SAID, 0, tuple(KillsFromLog().feed(SAID.records)))
    assert batch.killed_for(invokers, sysrq=sysrq) == killed
