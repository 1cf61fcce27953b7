"""Watches the OOM killer of the whole machine: BPF programs that write into a ring buffer."""

import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import ExitStack
from ctypes import Structure, c_char, c_int32, c_int64, c_uint32, c_uint64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from oomctl import resources
from oomctl.bpf import btf, probes, selftest
from oomctl.bpf.bpfobject import BpfObject
from oomctl.bpf.maps import RingBuffers
from oomctl.errors import UnsupportedError
from oomctl.oom.enums import Constraint
from oomctl.oom.event import Event, EventKind
from oomctl.oom.memcg import V1_ID, MemcgUsage
from oomctl.proc import procfs
from oomctl.text import printable

_COMM_LEN = 16
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_NO_LIMIT = (1 << 63) // _PAGE_SIZE - 1  # PAGE_COUNTER_MAX, include/linux/page_counter.h
_PATHS = 8192  # more than the map `told` has
ROOT_ID = 1
"""The id of the root of a cgroup hierarchy."""
_CONSTRAINTS = tuple(Constraint)
_TRIGGERED = frozenset(
    {EventKind.OOM_BEGIN, EventKind.OOM_END, EventKind.SIGKILL, EventKind.MARK_VICTIM}
)


class EventStruct(Structure):
    """`struct oomctl_event` of bpf/observer.h."""

    _fields_ = [
        ("at_ns", c_uint64),
        ("cgroup_id", c_uint64),
        ("memcg_id", c_uint64),
        ("memcg_usage", c_int64),
        ("memcg_max", c_uint64),
        ("swap_usage", c_int64),
        ("swap_max", c_uint64),
        ("anon", c_int64),
        ("file", c_int64),
        ("shmem", c_int64),
        ("kind", c_uint32),
        ("pid", c_int32),
        ("tgid", c_int32),
        ("invoker_pid", c_int32),
        ("order", c_int32),
        ("constraint", c_uint32),
        ("exit_code", c_int32),
        ("oom_score_adj", c_int32),
        ("comm", c_char * _COMM_LEN),
        ("invoker_comm", c_char * _COMM_LEN),
    ]


class BaseStruct(Structure):
    """`struct oomctl_base` of bpf/observer.h."""

    _fields_ = [("cgroup_id", c_uint64)]


class LossStruct(Structure):
    """The one element of the map `losses`."""

    _fields_ = [("count", c_uint64)]


@dataclass(frozen=True)
class Program:
    """A program of observer.bpf.c, the kind of its events, and whether it suits a kernel."""

    name: str
    kind: EventKind
    fits: Callable[[btf.Vmlinux], bool]


def _function(name: str) -> Callable[[btf.Vmlinux], bool]:
    return lambda vmlinux: vmlinux.function(name) is not None


def _tracepoint(name: str, first: str) -> Callable[[btf.Vmlinux], bool]:
    def fits(vmlinux: btf.Vmlinux) -> bool:
        given = vmlinux.tracepoint(name) or ()
        return [parameter.type for parameter in given[:1]] == [first]

    return fits


def _signals(vmlinux: btf.Vmlinux) -> bool:
    """A SIGKILL is the OOM killer's only if its sender is inside out_of_memory()."""
    given = vmlinux.tracepoint("signal_generate") or ()
    types = [parameter.type for parameter in given[:3:2]]
    return _function("out_of_memory")(vmlinux) and types == ["int", "struct task_struct *"]


PROGRAMS = (
    Program("oom_begin", EventKind.OOM_BEGIN, _function("out_of_memory")),
    Program("oom_end", EventKind.OOM_END, _function("out_of_memory")),
    Program("sigkill", EventKind.SIGKILL, _signals),
    Program(
        "mark_victim", EventKind.MARK_VICTIM, _tracepoint("mark_victim", "struct task_struct *")
    ),
    Program("mark_victim_pid", EventKind.MARK_VICTIM, _tracepoint("mark_victim", "int")),
    Program("wake_reaper", EventKind.WAKE_REAPER, _tracepoint("wake_reaper", "int")),
    Program("start_reaping", EventKind.START_REAPING, _tracepoint("start_task_reaping", "int")),
    Program("finish_reaping", EventKind.FINISH_REAPING, _tracepoint("finish_task_reaping", "int")),
    Program("skip_reaping", EventKind.SKIP_REAPING, _tracepoint("skip_task_reaping", "int")),
    Program("process_exit", EventKind.EXIT, _function("exit_files")),
    Program("missed_exit", EventKind.EXIT, _function("do_notify_parent")),
)


class FiredStruct(Structure):
    """`struct oomctl_fired` of bpf/observer.h; its fields are named like the programs."""

    _fields_ = [(program.name, c_uint64) for program in PROGRAMS]


class Observer:
    """Reports what the OOM killer does from `__enter__` on; `kinds` are the events of this kernel.

    Of the attached programs `silent` names those that did not run in the self-test, `unproved`
    those that it cannot test: for these see `fired()` once the OOM killer has run. The paths of
    cgroups begin at the cgroup `root_id`: the root of the mount, which in a container may be any.
    """

    def __init__(self, root_id: int = ROOT_ID) -> None:
        self._root_id = root_id
        self.kinds: frozenset[EventKind] = frozenset()
        self.silent: tuple[str, ...] = ()
        self.unproved: tuple[str, ...] = ()
        self._victims = Victims()
        self._paths: OrderedDict[int, str] = OrderedDict()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Load, attach and test; UnsupportedError, with the cause, if tracing is not available."""
        with btf.vmlinux() as vmlinux:
            fitting = [program for program in PROGRAMS if program.fits(vmlinux)]
        self._attached = tuple(program.name for program in fitting)
        self.unproved = tuple(name for name in self._attached if name not in selftest.TESTED)
        without = [program.name for program in PROGRAMS if program not in fitting]
        with ExitStack() as stack:
            try:
                loaded = stack.enter_context(BpfObject(resources.built("observer.bpf.o"), without))
                # a path is told before its event, so events are read before paths
                self._rings = RingBuffers(*map(loaded.map_fd, ("events", "paths")))
                stack.callback(self._rings.close)
                loaded.array("base", BaseStruct)[0] = BaseStruct(self._root_id)
                for program in fitting:
                    loaded.attach(program.name)
            except UnsupportedError as error:
                raise _diagnosed(error) from error
            self._losses = loaded.array("losses", LossStruct)
            self._fired = loaded.array("fired", FiredStruct)
            self.silent = selftest.silent_programs(self._attached, self.fired)
            if probes.ftrace_is_off(self.silent, procfs.sysctl(probes.FTRACE_ENABLED)):
                raise silence(self.silent)
            self.kinds = frozenset(p.kind for p in fitting if p.name not in self.silent)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def fileno(self) -> int:
        """Return a descriptor that polls readable when there is something to read."""
        return self._rings.fd

    @property
    def lost(self) -> int:
        """How many events found the ring buffer full since `__enter__`."""
        return int(self._losses[0].count)

    def fired(self) -> dict[str, int]:
        """How often each attached program has run since `__enter__`; `probes` judges these."""
        fired = self._fired[0]
        return {name: getattr(fired, name) for name in self._attached}

    def read(self) -> list[Event]:
        """Return the events since the last read in order of time, without waiting."""
        samples, told = self._rings.read()
        raw = sorted(map(EventStruct.from_buffer_copy, samples), key=lambda e: e.at_ns)
        for number, path in map(decode_path, told):
            self._paths[number] = path
        events = [self._victims.complete(decode(each, self._path)) for each in raw]
        while len(self._paths) > _PATHS:
            self._paths.popitem(last=False)
        return events

    def _path(self, cgroup_id: int) -> str | None:
        if cgroup_id in self._paths:
            self._paths.move_to_end(cgroup_id)
        return self._paths.get(cgroup_id)


def silence(silent: Collection[str]) -> UnsupportedError:
    """Return the error that names the silent programs, and the cause if it is known."""
    return probes.silence(silent, procfs.sysctl(probes.FTRACE_ENABLED))


def decode(raw: EventStruct, path_of: Callable[[int], str | None]) -> Event:
    """Convert an event of the program; pages become bytes. `path_of` tells a cgroup by its id."""
    kind = EventKind(raw.kind)
    about_oom = kind in (EventKind.OOM_BEGIN, EventKind.OOM_END)
    ended = kind is EventKind.EXIT
    code = raw.exit_code
    memcg_id = (raw.memcg_id or None) if about_oom else None
    return Event(
        kind=kind,
        at_ns=raw.at_ns,
        pid=raw.pid,
        tgid=raw.tgid,
        comm=_text(raw.comm),
        cgroup_id=raw.cgroup_id,
        # a counter that is kept per CPU may be below zero for a while
        anon=max(raw.anon, 0) * _PAGE_SIZE,
        file=max(raw.file, 0) * _PAGE_SIZE,
        shmem=max(raw.shmem, 0) * _PAGE_SIZE,
        oom_score_adj=raw.oom_score_adj,
        invoker_pid=raw.invoker_pid,
        invoker_comm=_text(raw.invoker_comm) if kind in _TRIGGERED else "",
        order=raw.order if about_oom else None,
        memcg_id=memcg_id,
        constraint=_constraint(raw) if kind is EventKind.OOM_END else None,
        signal=(code & 0x7F or None) if ended else None,
        status=code >> 8 if ended and not code & 0x7F else None,
        cgroup=path_of(raw.cgroup_id),
        memcg=None if memcg_id is None else path_of(memcg_id),
        usage=None if memcg_id is None else _usage(raw),
    )


def decode_path(raw: bytes) -> tuple[int, str]:
    """Return the id and the path of a cgroup from `struct oomctl_path`."""
    names = raw[8:].split(b"\0")[-2::-1]
    return int.from_bytes(raw[:8], sys.byteorder), "/" + os.fsdecode(b"/".join(names))


def _usage(raw: EventStruct) -> MemcgUsage:
    """Convert the counters of a memcg; cgroup v1 has memory and swap together instead of swap."""
    memory, limit = max(raw.memcg_usage, 0) * _PAGE_SIZE, _limit(raw.memcg_max)
    if raw.memcg_id & V1_ID:
        return MemcgUsage(memory, limit)
    return MemcgUsage(memory, limit, max(raw.swap_usage, 0) * _PAGE_SIZE, _limit(raw.swap_max))


def _limit(pages: int) -> int | None:
    return None if pages >= _NO_LIMIT else pages * _PAGE_SIZE


class Victims:
    """Victims from their first event to their end, to complete events that have only a PID."""

    def __init__(self) -> None:
        self._seen: dict[int, Event] = {}
        self._threads: dict[int, set[int]] = {}

    def complete(self, event: Event) -> Event:
        """Take the next event; return it with what earlier events of its PID say."""
        if event.kind is EventKind.EXIT:
            for pid in self._threads.pop(event.tgid, ()):
                del self._seen[pid]
            return event
        if event.kind in (EventKind.OOM_BEGIN, EventKind.OOM_END):
            return event
        if event.tgid:
            self._remember(event)
            return event
        seen = self._seen.get(event.pid)
        if seen is None:
            return replace(event, tgid=event.pid)
        return replace(
            seen,
            kind=event.kind,
            at_ns=event.at_ns,
            invoker_pid=event.invoker_pid,
            invoker_comm=event.invoker_comm,
        )

    def _remember(self, event: Event) -> None:
        before = self._seen.get(event.pid)
        if before and before.tgid != event.tgid:  # its PID is reused
            self._threads[before.tgid].discard(event.pid)
        self._seen[event.pid] = event
        self._threads.setdefault(event.tgid, set()).add(event.pid)


def _constraint(raw: EventStruct) -> str:
    """Return the constraint; out_of_memory() may return before it computes oc->constraint."""
    if raw.memcg_id:
        return Constraint.MEMCG
    known = raw.constraint < len(_CONSTRAINTS)
    return _CONSTRAINTS[raw.constraint] if known else str(raw.constraint)


def _text(raw: bytes) -> str:
    return printable(os.fsdecode(raw))


def _diagnosed(error: UnsupportedError) -> UnsupportedError:
    """Name kernel lockdown if it is the cause: programs may then not read kernel memory."""
    try:
        locked = "[confidentiality]" in _LOCKDOWN.read_text()
    except OSError:
        locked = False
    if not locked:
        return error
    return UnsupportedError(
        "the kernel's lockdown (confidentiality) forbids BPF programs to read its memory",
        "boot without lockdown=confidentiality",
        detail=error.detail,
    )
