"""Processes and sysctls as /proc and psutil show them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from oomctl.task import Task
from oomctl.text import printable

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
_INIT_PID_NS = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h


def read_task(pid: int, cgroup: str | None = None) -> Task | None:
    """Return the task as it is now, None if it is gone."""
    folder = _PROC / str(pid)
    try:
        started = psutil.Process(pid).create_time()
        comm = (folder / "comm").read_bytes().removesuffix(b"\n")
        status = dict(
            line.split(b":\t", 1)
            for line in (folder / "status").read_bytes().splitlines()
            if b":\t" in line
        )
        adj = int((folder / "oom_score_adj").read_text())
        if cgroup is None:
            cgroup = unified_cgroup(pid)
    except (OSError, psutil.Error, ValueError):
        return None

    def size(field: bytes) -> int:
        return int(status.get(field, b"0 kB").split()[0]) << 10

    return Task(
        pid=pid,
        comm=printable(os.fsdecode(comm)),
        cgroup=cgroup,
        oom_score_adj=adj,
        rss=size(b"VmRSS"),
        swap=size(b"VmSwap"),
        pgtables=size(b"VmPTE"),
        started=started,
        has_mm=b"VmRSS" in status,
    )


def read_tasks(cgroup_of: Mapping[int, str]) -> list[Task]:
    """Return the tasks of a cgroup's subtree that still live, in the same order."""
    found = (read_task(pid, cgroup) for pid, cgroup in cgroup_of.items() if pid)
    return [task for task in found if task]


def all_tasks() -> list[Task]:
    """Return every process of the machine in the order of their making.

    That is how the OOM killer walks them (for_each_process; kernel/fork.c appends to
    init_task.tasks). PIDs say the same only until they wrap.
    """
    found = (read_task(pid) for pid in psutil.pids())
    return sorted((task for task in found if task), key=lambda task: (task.started, task.pid))


def unified_cgroup(pid: int) -> str:
    """Return the cgroup v2 path of a process; `/` where it has none."""
    for line in (_PROC / str(pid) / "cgroup").read_bytes().splitlines():
        if line.startswith(b"0::"):
            return printable(os.fsdecode(line.removeprefix(b"0::")))
    return "/"


def sees_init_pids() -> bool:
    """Tell whether our PIDs are those of the kernel log, not of a PID namespace of our own."""
    try:
        return (_PROC / "self/ns/pid").stat().st_ino == _INIT_PID_NS
    except FileNotFoundError:  # without CONFIG_PID_NS there is only one
        return True


def total_pages() -> int:
    """Return RAM + swap in pages: the `totalpages` of a system-wide OOM."""
    return (psutil.virtual_memory().total + psutil.swap_memory().total) // PAGE_SIZE


def sysctl(name: str) -> int | None:
    """Return an integer sysctl such as "vm.panic_on_oom"; None where the kernel lacks it."""
    try:
        return int((_PROC / "sys" / name.replace(".", "/")).read_text())
    except (OSError, ValueError):
        return None


def sysctls(names: Iterable[str]) -> dict[str, int | None]:
    """Return several sysctls by name."""
    return {name: sysctl(name) for name in names}


def set_oom_score_adj(value: int, pid: int | str = "self") -> bool:
    """Set a task's oom_score_adj, read it back, and tell whether it stands.

    Lowering needs CAP_SYS_RESOURCE, which even root may lack (fs/proc/base.c, __set_oom_adj).
    """
    path = _PROC / str(pid) / "oom_score_adj"
    try:
        path.write_text(str(value))
    except OSError:
        return False
    return int(path.read_text()) == value
