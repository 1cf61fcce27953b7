"""A batch of evidence knows whether the log lacks a line that is still to come."""

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
