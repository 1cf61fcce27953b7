import os
import subprocess
import sys
import threading

import pytest

from oomctl.cgroup.node import UnifiedNode
from oomctl.experiment.subtree import read_subtree
from oomctl.oom.subtree import CgroupState
from oomctl.proc.member import read_member

M = 1 << 20


@pytest.fixture
def child():
    code = (
        "import mmap; m = mmap.mmap(-1, 8 << 20); m[:] = b'x' * len(m); print(flush=True); input()"
    )
    words = [sys.executable, "-I", "-S", "-c", code, "secret"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.fixture
def tree(tmp_path, child):
    """A hierarchy of plain files; a child is in /top/in."""
    files = {
        "top/memory.max": "67108864\n",
        "top/memory.high": "max\n",
        "top/memory.current": "9000\n",
        "top/cgroup.procs": "",
        "top/in/memory.oom.group": "1\n",
        "top/in/memory.low": "max\n",
        "top/in/memory.swap.max": "4096\n",
        "top/in/cgroup.procs": f"{child}\n0\n2147483000\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return UnifiedNode(str(tmp_path)).at("/top")


def test_a_subtree_is_read_with_its_limits_and_tasks(tree, child):
    of = read_subtree(tree)
    assert of.name == "top"
    assert of.cgroups == (
        CgroupState("/", max=64 * M, usage=9000),
        CgroupState("/in", low=None, swap_max=4096, oom_group=True),
    )
    (member,) = of.tasks
    assert (member.task.pid, member.task.cgroup, member.threads) == (child, "/in", 1)
    # the mapping is shared anonymous memory, which is shmem
    assert 8 * M <= member.shmem < 9 * M
    assert member.anon + member.file + member.shmem == pytest.approx(member.task.rss, abs=M)
    assert member.pss
    assert member.command == ""
    assert set(of.gaps) == {
        "left out: 1 process (outside of this PID namespace)",
        "left out: 1 process (ended meanwhile)",
    }


def test_command_lines_and_pss_are_read_only_if_asked_for(tree):
    (member,) = read_subtree(tree, commands=True, rollup=False).tasks
    assert member.command.endswith("secret ")
    assert member.pss is None


def test_kernel_threads_are_named(tree, tmp_path):
    (tmp_path / "top/in/cgroup.procs").write_text("2\n")
    of = read_subtree(tree)
    assert of.tasks == ()
    assert of.gaps in (
        ("left out: the kernel threads kthreadd",),
        ("left out: 1 process (ended meanwhile)",),  # in a PID namespace
    )


def test_threads_are_counted():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert read_member(os.getpid(), "/").threads == threading.active_count()
    done.set()
    thread.join()
