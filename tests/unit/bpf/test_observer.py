import os
import sys
from pathlib import Path

import pytest

from oomctl.bpf import btf, libbpf, maps, observer, selftest
from oomctl.bpf.btf import Parameter
from oomctl.bpf.observer import PROGRAMS, EventStruct, Victims, decode_path
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.oom.event import Event, EventKind
from oomctl.oom.memcg import MemcgUsage
from oomctl.proc import procfs

PAGE = os.sysconf("SC_PAGE_SIZE")
TASK, INT = "struct task_struct *", "int"


class Kernel:
    """A kernel that has these functions and tracepoints, each with the types it is given."""

    def __init__(self, functions=(), **tracepoints):
        self.functions, self.tracepoints = functions, tracepoints

    def function(self, name):
        return () if name in self.functions else None

    def tracepoint(self, name):
        types = self.tracepoints.get(name)
        return None if types is None else tuple(Parameter(each, "") for each in types)


REAPER = dict.fromkeys(
    ["wake_reaper", "start_task_reaping", "finish_task_reaping", "skip_task_reaping"], (INT,)
)
SIGNAL = {"signal_generate": [INT, "struct kernel_siginfo *", TASK, INT, INT]}
FUNCTIONS = ("out_of_memory", "exit_files", "do_notify_parent")


def fitting(kernel):
    return {program.name for program in PROGRAMS if program.fits(kernel)}


ALL = {program.name for program in PROGRAMS}


@pytest.mark.parametrize(
    ("kernel", "without"),
    [
        (
            Kernel(FUNCTIONS, mark_victim=[TASK, "uid_t"], **REAPER, **SIGNAL),
            {"mark_victim_pid"},
        ),
        (Kernel(FUNCTIONS, mark_victim=[INT], **REAPER, **SIGNAL), {"mark_victim"}),
        (
            Kernel(FUNCTIONS[1:], mark_victim=[INT], **REAPER, **SIGNAL),
            {"mark_victim", "oom_begin", "oom_end", "sigkill"},
        ),
        (
            Kernel(FUNCTIONS, mark_victim=[TASK], signal_generate=[INT, TASK]),
            {"mark_victim_pid", "sigkill"}
            | {"wake_reaper", "start_reaping", "finish_reaping", "skip_reaping"},
        ),
        (Kernel(), ALL),
    ],
)
def test_only_what_the_kernel_has_is_loaded(kernel, without):
    assert ALL - fitting(kernel) == without


def test_the_running_kernel_is_asked():
    if not Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("this kernel has no BTF")
    with btf.vmlinux() as vmlinux:
        assert vmlinux.function("no_such_function") is None
        assert vmlinux.tracepoint("no_such_tracepoint") is None
        assert [each.type for each in vmlinux.function("out_of_memory")] == ["struct oom_control *"]
        assert [each.type for each in vmlinux.tracepoint("signal_generate")][:3:2] == [INT, TASK]
        kinds = {program.kind for program in PROGRAMS if program.fits(vmlinux)}
        assert {EventKind.MARK_VICTIM, EventKind.OOM_BEGIN, EventKind.SIGKILL} <= kinds
        assert len({"mark_victim", "mark_victim_pid"} & fitting(vmlinux)) == 1


def raw(kind, **fields):
    return EventStruct(kind=kind, at_ns=5, pid=7, tgid=6, comm=b"hog", cgroup_id=28, **fields)


def decode(made):
    return observer.decode(made, {29: "/a"}.get)


def test_paths_are_told_by_id():
    begun = observer.decode(raw(EventKind.OOM_BEGIN, memcg_id=29), {28: "/a/b", 29: "/a"}.get)
    assert (begun.cgroup, begun.memcg) == ("/a/b", "/a")
    assert decode(raw(EventKind.SIGKILL, memcg_id=29)).memcg is None


def test_a_victim():
    event = decode(
        raw(
            EventKind.SIGKILL,
            anon=3,
            file=-2,
            shmem=1,
            oom_score_adj=-5,
            invoker_pid=9,
            invoker_comm=b"\x1b[31m",
        )
    )
    assert event == Event(
        kind=EventKind.SIGKILL,
        at_ns=5,
        pid=7,
        tgid=6,
        comm="hog",
        cgroup_id=28,
        anon=3 * PAGE,
        shmem=PAGE,
        oom_score_adj=-5,
        invoker_pid=9,
        invoker_comm=r"\x1b[31m",
    )
    assert event.rss == 4 * PAGE


@pytest.mark.parametrize(
    ("memcg", "number", "name"),
    [
        *((0, 0, "none"), (0, 1, "cpuset"), (0, 2, "memory-policy"), (0, 9, "9")),
        *((28, 3, "memcg"), (28, 0, "memcg")),
    ],
)
def test_the_constraint_has_a_name_when_the_oom_killer_is_through(memcg, number, name):
    ended = decode(raw(EventKind.OOM_END, memcg_id=memcg, constraint=number, order=2))
    assert (ended.order, ended.memcg_id, ended.constraint) == (2, memcg or None, name)
    begun = decode(raw(EventKind.OOM_BEGIN, memcg_id=memcg, order=2))
    assert (begun.order, begun.memcg_id, begun.constraint) == (2, memcg or None, None)


def test_what_the_memcg_holds():
    no_limit = (1 << 63) // PAGE - 1
    begun = decode(raw(EventKind.OOM_BEGIN, memcg_id=28, memcg_usage=4, memcg_max=5, swap_usage=-1))
    assert begun.usage == MemcgUsage(4 * PAGE, 5 * PAGE, 0, 0)
    begun = decode(raw(EventKind.OOM_BEGIN, memcg_id=28, memcg_max=no_limit, swap_max=no_limit))
    assert begun.usage == MemcgUsage(0, None, 0, None)
    on_v1 = decode(raw(EventKind.OOM_END, memcg_id=28 | 1 << 63, memcg_max=5, swap_usage=3))
    assert on_v1.usage == MemcgUsage(0, 5 * PAGE)
    assert decode(raw(EventKind.OOM_BEGIN)).usage is None
    assert decode(raw(EventKind.SIGKILL, memcg_id=28)).usage is None


@pytest.mark.parametrize(
    ("names", "path"),
    [(b"", "/"), (b"a\0", "/a"), (b"c\0b \xff\0a\0", "/a/b \udcff/c")],
)
def test_a_path_comes_from_the_leaf_to_the_root(names, path):
    assert decode_path((1 << 40).to_bytes(8, sys.byteorder) + names) == (1 << 40, path)


@pytest.mark.parametrize(
    ("code", "signal", "status"),
    [(9, 9, None), (0, None, 0), (3 << 8, None, 3), (0x80 | 11, 11, None)],
)
def test_how_a_process_ended(code, signal, status):
    event = decode(raw(EventKind.EXIT, exit_code=code))
    assert (event.signal, event.status) == (signal, status)


def woken(victims):
    return victims.complete(decode(EventStruct(kind=EventKind.WAKE_REAPER, at_ns=8, pid=7)))


def test_what_comes_with_a_pid_only_is_completed_by_what_was_seen_before():
    victims = Victims()
    killed = decode(raw(EventKind.SIGKILL, invoker_pid=9, invoker_comm=b"me"))
    assert victims.complete(killed) is killed
    seen = woken(victims)
    assert (seen.kind, seen.at_ns) == (EventKind.WAKE_REAPER, 8)
    assert (seen.pid, seen.tgid, seen.comm) == (killed.pid, killed.tgid, killed.comm)
    assert (seen.cgroup_id, seen.invoker_pid, seen.invoker_comm) == (28, 0, "")
    victims.complete(decode(raw(EventKind.EXIT, exit_code=9)))
    unknown = woken(victims)
    assert (unknown.pid, unknown.tgid, unknown.comm) == (7, 7, "")


def test_a_pid_that_is_reused_is_known_as_its_last_process():
    victims = Victims()
    victims.complete(decode(raw(EventKind.SIGKILL)))
    other = EventStruct(kind=EventKind.SIGKILL, at_ns=6, pid=7, tgid=7, comm=b"other")
    victims.complete(decode(other))
    victims.complete(decode(raw(EventKind.EXIT)))  # of process 6
    assert woken(victims).comm == "other"


def test_the_invoker_of_the_oom_killer_is_not_remembered_as_a_victim():
    victims = Victims()
    victims.complete(decode(raw(EventKind.OOM_BEGIN)))
    assert woken(victims).comm == ""


class Refusing:
    def __init__(self, error):
        self.error = error

    def __call__(self, _path, _without):
        return self

    def __enter__(self):
        raise self.error

    def __exit__(self, *_exc):
        raise AssertionError("it was never entered")


@pytest.fixture
def refusing(monkeypatch, tmp_path):
    """The kernel does not load the programs, in this state of lockdown."""
    if not Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("this kernel has no BTF")

    def refuse(lockdown):
        error = UnsupportedError("no", "hint", detail="log")
        monkeypatch.setattr(observer, "BpfObject", Refusing(error))
        (tmp_path / "lockdown").write_text(lockdown)
        monkeypatch.setattr(observer, "_LOCKDOWN", tmp_path / "lockdown")
        with pytest.raises(UnsupportedError) as caught, observer.Observer():
            pass
        return caught.value

    return refuse


def test_lockdown_is_named_where_it_is_the_cause(refusing):
    error = refusing("none integrity [confidentiality]\n")
    assert "lockdown" in error.why
    assert error.detail == "log"


def test_another_refusal_is_passed_on(refusing):
    assert refusing("[none] integrity confidentiality\n").why == "no"


class Loaded:
    """A BPF object that loads and attaches what it is asked to."""

    closed = False

    def __init__(self, _path, without):
        self.without, self.attached = set(without), set()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        Loaded.closed = True

    def map_fd(self, name):
        return name

    def array(self, name, _element):
        return {}

    def attach(self, name):
        assert name not in self.without
        self.attached.add(name)


class Rings:
    def __init__(self, *fds):
        assert fds == ("events", "paths")

    def close(self):
        pass


@pytest.fixture
def opening(monkeypatch):
    """Open an observer whose self-test finds these programs silent, with this sysctl."""
    if not Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("this kernel has no BTF")

    def opened(silent, ftrace_enabled=1):
        Loaded.closed = False
        monkeypatch.setattr(observer, "BpfObject", Loaded)
        monkeypatch.setattr(observer, "RingBuffers", Rings)
        monkeypatch.setattr(selftest, "silent_programs", lambda _attached, _fired: silent)
        monkeypatch.setattr(procfs, "sysctl", {"kernel.ftrace_enabled": ftrace_enabled}.get)
        return observer.Observer()

    return opened


def test_a_kind_is_seen_while_one_of_its_programs_runs(opening):
    with opening(()) as all_run:
        assert (all_run.silent, EventKind.EXIT in all_run.kinds) == ((), True)
        assert all_run.unproved
        assert selftest.TESTED.isdisjoint(all_run.unproved)
    for silent, unseen in [
        (("process_exit",), set()),
        (("missed_exit",), set()),
        (("process_exit", "missed_exit"), {EventKind.EXIT}),
        (("sigkill",), {EventKind.SIGKILL}),
        (("sigkill", "process_exit", "missed_exit"), {EventKind.SIGKILL, EventKind.EXIT}),
    ]:
        with opening(silent) as some_run:
            assert (some_run.silent, all_run.kinds - some_run.kinds) == (silent, unseen)


@pytest.mark.parametrize("silent", [("process_exit",), ("missed_exit", "process_exit")])
def test_without_ftrace_there_is_no_tracing(opening, silent):
    with pytest.raises(UnsupportedError, match=r"kernel\.ftrace_enabled is 0"), opening(silent, 0):
        pass
    assert Loaded.closed


def test_ftrace_is_not_blamed_for_a_tracepoint(opening):
    with opening(("sigkill",), 0) as opened:
        assert opened.silent == ("sigkill",)
        assert "ftrace_enabled" not in str(observer.silence(opened.silent))


def test_a_kernel_without_btf_is_named(monkeypatch):
    monkeypatch.setattr(libbpf, "call", lambda *_: (None, 2))
    with pytest.raises(UnsupportedError, match="no BTF"), observer.Observer():
        pass


def test_a_map_that_is_not_a_ring_buffer_is_refused():
    with pytest.raises(OomctlError, match="ring buffer"):
        maps.RingBuffers(-1)
