"""What is seen and logged of one call, to be accounted for."""

from oomctl.oom.attribution import CallObservation, PostRun
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.event import Event, EventKind
from oomctl.oom.klog import KernelLog, KillsFromLog
from oomctl.oom.log.logrecord import Record
from oomctl.oom.plan import Call

CALLER = 50
BEGAN = 1000
ENDED = 2000


def event(kind, at, pid, trigger=CALLER, **fields):
    return Event(kind, at, pid, pid, f"t{pid}", 9, invoker_pid=trigger, **fields)


def kill_events(pid, at=1200, trigger=CALLER):
    return (
        event(EventKind.SIGKILL, at, pid, trigger),
        event(EventKind.MARK_VICTIM, at + 10, pid, trigger, anon=4096),
    )


def logged(*pids):
    return KernelLog(
        tuple(
            Record(
                n,
                n,
                f"Memory cgroup out of memory: Killed process {pid} (t{pid}) total-vm:1kB, "
                "anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:7",
            )
            for n, pid in enumerate(pids)
        )
    )


def observation(*events, log=None, ret=1, lost=0, candidates=None, group_kills=0, later=()):
    log = log or KernelLog()
    return CallObservation(
        Call("/t", 0, 1),
        3,
        CallResult(Stage.CALLED, BEGAN, ENDED, ret, caller=CALLER),
        tuple(events),
        log,
        lost,
        group_kills,
        candidates,
        later=later,
        logged=tuple(KillsFromLog().feed(log.records)),
    )


def after(*events, ended=None, owns=lambda kill, target: False, no_tracing_reason=""):
    return PostRun(tuple(events), ended or {}, owns, {9: "/t/leaf"}.get, no_tracing_reason)
