import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.proc import procfs
from oomctl.text import printable


@pytest.fixture
def child():
    """A process that sleeps, whose comm has an escape sequence in it."""
    code = r"""
import ctypes, time
ctypes.CDLL(None).prctl(15, b"a\x1b[31m\xff b", 0, 0, 0)
block = bytearray(8 << 20)
print("ready", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_task_as_it_is(child):
    task = procfs.read_task(child.pid)
    assert task.pid == child.pid
    assert task.comm == r"a\x1b[31m\xff b"
    assert 8 << 20 < task.rss < 1 << 30
    assert task.pgtables > 0
    assert task.has_mm
    assert task.killable == (task.oom_score_adj != -1000)
    assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - task.started < 60
    assert task.cgroup == printable(procfs.unified_path(Path("/proc/self/cgroup").read_bytes()))


def test_a_cgroup_that_is_known_is_not_asked_for(child):
    assert procfs.read_task(child.pid, "/known").cgroup == "/known"


def test_a_zombie_has_no_memory_to_kill_it_for(child):
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    task = procfs.read_task(child.pid)
    assert not task.has_mm
    assert not task.killable
    assert task.rss == 0


def test_a_task_that_is_gone_is_none():
    process = subprocess.Popen(["true"])
    process.wait()
    assert procfs.read_task(process.pid) is None
    assert procfs.read_tasks({process.pid: "/x", 0: "/outside-our-namespace"}) == []


def test_tasks_keep_the_order_they_were_asked_in(child):
    wanted = {child.pid: "/a", os.getpid(): "/b"}
    assert [task.pid for task in procfs.read_tasks(wanted)] == list(wanted)
    assert [task.cgroup for task in procfs.read_tasks(wanted)] == ["/a", "/b"]


def test_all_tasks_has_us(child):
    tasks = procfs.all_tasks()
    pids = [task.pid for task in tasks]
    assert pids.index(os.getpid()) < pids.index(child.pid)
    started = [task.started for task in tasks]
    assert started == sorted(started)  # PIDs need not be: they wrap


def test_raising_oom_score_adj_stands(child):
    assert procfs.set_oom_score_adj(777, child.pid)
    assert procfs.read_task(child.pid).oom_score_adj == 777


@pytest.mark.parametrize("value", [1001, -1001])
def test_an_oom_score_adj_out_of_range_does_not_stand(child, value):
    assert not procfs.set_oom_score_adj(value, child.pid)


def test_the_oom_score_adj_of_a_missing_process():
    assert not procfs.set_oom_score_adj(0, 2**22 + 1)


def test_sysctls():
    assert procfs.sysctl("vm.overcommit_memory") in (0, 1, 2)
    assert procfs.sysctls(["no.such_thing", "kernel.ostype"]) == {
        "no.such_thing": None,
        "kernel.ostype": None,  # not a number
    }


def test_whether_our_pids_are_those_of_the_kernel_log(monkeypatch, tmp_path):
    ours = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116
    monkeypatch.setitem(procfs._FIRST, "pid", ours)
    assert procfs.sees_init_pids()
    monkeypatch.setitem(procfs._FIRST, "pid", ours + 1)
    assert not procfs.sees_init_pids()
    monkeypatch.setattr(procfs, "_PROC", tmp_path)
    assert procfs.sees_init_pids()  # a kernel without such namespaces


def test_total_pages():
    assert procfs.total_pages() * procfs.PAGE_SIZE >= 64 << 20


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("naïve 名", "naïve 名"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\udcff", r"\xff"),
        ("\u202e\u200b", r"\u202e\u200b"),  # right-to-left override, zero width space
        ("\ud800", r"\ud800"),
    ],
)
def test_no_terminal_acts_on_a_name(text, shown):
    assert printable(text) == shown


@given(st.text(st.characters(codec=None)) | st.binary().map(os.fsdecode))
def test_any_text_becomes_printable(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()
    assert printable(shown) == shown


def test_a_kernel_thread_is_spared_as_such():
    found = [task for task in procfs.all_tasks() if task.not_eligible_reason == "kernel thread"]
    if not found:
        pytest.skip("no kernel threads are seen here (a container)")
    assert all((task.rss, task.has_mm, task.killable) == (0, False, False) for task in found)


def test_a_task_inside_vfork_is_spared_and_its_parent_is_not():
    code = """
import os
print(os.getpid(), flush=True)
# the child of posix_spawn() blocks in open() of a FIFO before its exec: its parent waits in vfork
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[
    (os.POSIX_SPAWN_OPEN, 9, os.environ["FIFO"], os.O_RDONLY, 0)])
"""
    with tempfile.TemporaryDirectory() as folder:
        fifo = Path(folder, "fifo")
        os.mkfifo(fifo)
        parent = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code],
            env={"FIFO": str(fifo)},
            stdout=subprocess.PIPE,
        )
        parent.stdout.readline()
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        deadline = time.monotonic() + 10
        while not children.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        child = procfs.read_task(int(children.read_text()))
        assert (child.not_eligible_reason, child.killable, child.mortal) == (
            "inside vfork",
            False,
            True,
        )
        assert procfs.read_task(parent.pid).not_eligible_reason == ""
        os.close(os.open(fifo, os.O_WRONLY))
        parent.wait(10)
        parent.stdout.close()


def test_a_leader_that_ended_before_its_threads_still_has_their_memory():
    code = """
import ctypes, threading, time
block = bytearray(8 << 20)
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    deadline = time.monotonic() + 10
    while "zombie" not in Path(f"/proc/{process.pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    task = procfs.read_task(process.pid)
    assert task.has_mm
    assert task.rss > 8 << 20
    # stat of the leader says 0: the reading of the thread is what the kernel scores
    assert abs(task.rss - task.rss_read) <= 3 * procfs._percpu_pages() * procfs.PAGE_SIZE
    assert Path(f"/proc/{process.pid}/task/{task.thread}/status").exists()
    assert task.thread != process.pid
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_task_that_uses_its_parents_memory_names_it(child):
    assert procfs.read_task(child.pid).shares == 0
    code = """
import ctypes, time
stack = ctypes.create_string_buffer(1 << 16)
libc, CLONE_VM, SIGCHLD = ctypes.CDLL(None), 0x100, 17
# what the child runs is C's: two processes in one interpreter's memory would crash now and then
pause = ctypes.cast(libc.pause, ctypes.c_void_p)
pid = libc.clone(pause, ctypes.byref(stack, 1 << 15), CLONE_VM | SIGCHLD, None)
print(pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE)
    sharer = int(parent.stdout.readline())
    assert procfs.read_task(sharer).shares == parent.pid
    assert procfs.read_task(parent.pid).shares == 0
    os.kill(sharer, signal.SIGKILL)
    parent.kill()
    parent.wait()
    parent.stdout.close()


def test_what_the_cpus_hold_back_is_less_than_a_batch_each(child):
    task = procfs.read_task(child.pid)
    most = 3 * procfs._percpu_pages() * procfs.PAGE_SIZE  # anonymous, file, shared memory
    assert abs(task.rss - task.rss_read) <= most


def test_a_task_of_other_memory_nodes_is_spared(child):
    assert (
        procfs.read_task(child.pid, nodes=1 << 1000).not_eligible_reason == "cpuset of other nodes"
    )
    assert procfs.read_task(child.pid, nodes=(1 << 1000) - 1).not_eligible_reason == ""
