"""Kills as an observer and the kernel log tell them, without a kernel."""

import os

from oomctl.errors import UnsupportedError
from oomctl.oom.event import Event, EventKind
from oomctl.oom.klog import KernelLog
from oomctl.oom.log.logrecord import Record
from oomctl.oom.memcg import MemcgUsage

NO_TRACING = UnsupportedError("this kernel has no BTF", "boot another")


BEFORE = 2  # reads before the watch begins


class FakeObserver:
    """An observer that sees these events once the watch has begun, and then nothing more."""

    silent = ()

    def __init__(self, events, lost=0):
        self.events, self.losing, self.reads = events, lost, 0
        self.readable, self.writable = os.pipe()
        os.write(self.writable, b"x")

    def __call__(self, _root_id):
        return self

    def __enter__(self):
        if isinstance(self.events, Exception):
            raise self.events
        return self

    def __exit__(self, *_exc):
        os.close(self.readable)
        os.close(self.writable)

    def fileno(self):
        return self.readable

    @property
    def lost(self):
        return self.losing if self.reads > BEFORE else 0

    def fired(self):
        return {}

    def read(self):
        self.reads += 1
        if self.reads <= BEFORE:
            return []
        events, self.events = self.events, []
        return events


class FakeLog:
    def __init__(self, *texts, before=()):
        self.texts, self.before, self.reads = texts, before, 0

    def __call__(self, since_boot):
        self.before = self.before if since_boot else ()
        return self

    def __enter__(self):
        self.fd = os.eventfd(0)
        return self

    def __exit__(self, *_exc):
        os.close(self.fd)

    def fileno(self):
        return self.fd

    def read(self):
        self.reads += 1
        if self.reads == 1:
            return KernelLog(records(self.before), lost=3 if self.before else 0)
        if self.reads <= BEFORE:
            return KernelLog()
        texts, self.texts = self.texts, ()
        return KernelLog(records(texts))


def records(texts):
    return tuple(Record(n, n, text) for n, text in enumerate(texts))


USAGE = MemcgUsage(32 << 20, 32 << 20, 1 << 20, None)


def kill(pid, cgroup_id, by=1):
    caller = (99, 99, "caller", by)
    victim = (pid, pid, "hog", cgroup_id)
    more = {"invoker_pid": 99, "invoker_comm": "caller"}
    return [
        Event(EventKind.OOM_BEGIN, 10, *caller, order=2, memcg_id=cgroup_id, usage=USAGE),
        Event(EventKind.SIGKILL, 20, *victim, anon=64 << 20, **more),
        Event(EventKind.MARK_VICTIM, 21, *victim, anon=64 << 20, **more),
        Event(EventKind.OOM_END, 30, *caller, order=2, memcg_id=cgroup_id, constraint="memcg"),
        Event(EventKind.EXIT, 5_000_021, *victim, signal=9),
    ]
