"""Processes and sysctls as /proc and psutil show them."""

import ctypes
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from oomctl.files import kernelfile
from oomctl.files.kernelfile import KernelFileError
from oomctl.oom.task import ProtectedTask, Task
from oomctl.text import printable

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
# PROC_USER_INIT_INO and so on, include/linux/proc_ns.h
_FIRST = {"user": 0xEFFFFFFD, "pid": 0xEFFFFFFC, "cgroup": 0xEFFFFFFB}

_PF_FORKNOEXEC, _PF_KTHREAD = 0x40, 0x200000  # include/linux/sched.h
_KCMP_VM = 1  # include/uapi/linux/kcmp.h
_SYS_KCMP = {"x86_64": 312, "aarch64": 272}
_libc = ctypes.CDLL(None)


def read_task(pid: int, cgroup: str | None = None, nodes: int | None = None) -> Task | None:
    """Return the task as it is now, None if it is gone.

    `nodes` are the memory nodes of who declares a system-wide OOM, as a bit mask: what may use none
    of them is spared.

    `rss` is the sum of the kernel's per-CPU counters, as status has it (fs/proc/task_mmu.c,
    task_mem). 7.3's oom_badness() adds them up too (get_mm_rss_sum), but 6.12's reads them without
    what is still on a CPU (get_mm_rss), as stat does (fs/proc/array.c, do_task_stat): that is
    `rss_read`. No file tells which of the two this kernel does. For swap the kernel shows the sum
    alone, and `slack` has the most that CPUs can hold back.
    """
    folder = _PROC / str(pid)
    try:
        started = psutil.Process(pid).create_time()
        comm = (folder / "comm").read_bytes().removesuffix(b"\n")
        stat = _stat(folder)
        flags, parent = int(stat[6]), int(stat[1])
        holder, status = _with_memory(folder, bool(flags & _PF_KTHREAD))
        adj = int((folder / "oom_score_adj").read_text())
        if cgroup is None:
            cgroup = unified_cgroup(pid)
        shares = parent if flags & _PF_FORKNOEXEC and _one_memory(pid, parent) else 0
        spared = _not_eligible_reason(flags, shares)
        if not spared and nodes and not _mems_allowed(status) & nodes:
            spared = "cpuset of other nodes"
        rss, swap, pgtables = (_size(status, each) for each in (b"VmRSS", b"VmSwap", b"VmPTE"))
        rss_read = int(_stat(holder)[21]) * PAGE_SIZE
    except (OSError, psutil.Error, ValueError, IndexError):
        return None
    return Task(
        pid=pid,
        comm=printable(os.fsdecode(comm)),
        cgroup=cgroup,
        oom_score_adj=adj,
        rss=rss,
        swap=swap,
        pgtables=pgtables,
        started=started,
        has_mm=b"VmRSS" in status,
        rss_read=rss_read if rss else None,
        slack=min(swap, _percpu_pages() * PAGE_SIZE),
        parent=parent,
        thread=0 if holder == folder else int(holder.name),
        shares=shares,
        not_eligible_reason=spared,
    )


def _with_memory(folder: Path, kernel_thread: bool) -> tuple[Path, dict[bytes, bytes]]:
    """Return the folder of the thread that has the memory, and the fields of its status.

    A leader may end before its threads, and the OOM killer then looks at those (mm/oom_kill.c,
    find_lock_task_mm). Where no thread has memory it is the leader.
    """
    status = _fields(folder / "status")
    if b"VmRSS" not in status and not kernel_thread:
        for thread in (folder / "task").iterdir():
            other = _fields(thread / "status")
            if b"VmRSS" in other:
                return thread, other
    return folder, status


def _stat(folder: Path) -> list[bytes]:
    """Return the fields of stat behind the comm: the state first, the parent's PID second."""
    return (folder / "stat").read_bytes().rpartition(b")")[2].split()


def sizes(pid: int, file: str = "status") -> dict[str, int]:
    """Return the sizes in /proc/PID/status, or in another such file, in bytes.

    Raises OSError if the task is gone.
    """
    lines = (line.split() for line in (_PROC / str(pid) / file).read_bytes().splitlines())
    return {
        line[0].decode().rstrip(":"): int(line[1]) << 10 for line in lines if line[-1:] == [b"kB"]
    }


def _fields(path: Path) -> dict[bytes, bytes]:
    lines = path.read_bytes().splitlines()
    return {name: value for name, _, value in (line.partition(b":\t") for line in lines)}


def _size(status: Mapping[bytes, bytes], field: bytes) -> int:
    return int(status.get(field, b"0 kB").split()[0]) << 10


def _percpu_pages() -> int:
    """Return how many pages the CPUs can keep to themselves of one counter.

    Each keeps less than a batch (lib/percpu_counter.c, percpu_counter_add_batch and
    compute_batch_value).
    """
    cpus = os.sysconf("SC_NPROCESSORS_ONLN")
    return cpus * (max(32, 2 * cpus) - 1)


def _mems_allowed(status: Mapping[bytes, bytes]) -> int:
    return int(status[b"Mems_allowed"].replace(b",", b""), 16) if b"Mems_allowed" in status else -1


def _not_eligible_reason(flags: int, shares: int) -> str:
    """Say why the OOM killer passes a task over that its memory and adj do not tell."""
    if flags & _PF_KTHREAD:
        return "kernel thread"
    return "inside vfork" if shares and _waits_for_child(shares) else ""


def _one_memory(pid: int, parent: int) -> bool:
    """Tell whether a task uses its parent's memory."""
    number = _SYS_KCMP.get(platform.machine())
    return bool(parent and number) and _libc.syscall(number, parent, pid, _KCMP_VM, 0, 0) == 0


def _waits_for_child(parent: int) -> bool:
    """Tell whether a parent sleeps in vfork() (mm/oom_kill.c, in_vfork())."""
    threads = (_PROC / str(parent) / "task").iterdir()
    return any((thread / "wchan").read_bytes() == b"kernel_clone" for thread in threads)


def doing(pid: int) -> str:
    """Say who a process is and what it is at: `77 (hog, D, do_exit)`; of a dead one only its PID.

    The letter is its state in stat, the last word the function of the kernel that it sleeps in.
    """
    folder = _PROC / str(pid)
    try:
        comm, _, rest = (folder / "stat").read_bytes().rpartition(b")")
        words = [comm.partition(b"(")[2], rest.split()[0]]
        wchan = (folder / "wchan").read_bytes()
    except (OSError, IndexError):
        return str(pid)
    words += [wchan] if wchan not in (b"", b"0") else []
    return f"{pid} ({', '.join(printable(os.fsdecode(word)) for word in words)})"


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    try:
        text = (_PROC / str(pid) / "task" / str(pid) / "children").read_text()
    except FileNotFoundError:  # without CONFIG_PROC_CHILDREN every process has to be asked
        return [child.pid for child in psutil.Process(pid).children()]
    return [int(word) for word in text.split()]


def family() -> list[ProtectedTask]:
    """Return oomctl itself, all processes that it descends from, its session's leader, and init."""
    own = os.getpid()
    found: list[ProtectedTask] = []
    parents = [parent.pid for parent in psutil.Process().parents()]
    for pid in dict.fromkeys((own, *parents, os.getsid(0), 1)):
        try:
            comm = (_PROC / str(pid) / "comm").read_text(errors="surrogateescape").strip()
            cgroup = unified_path((_PROC / str(pid) / "cgroup").read_bytes())
        except OSError:  # gone, or 0: the leader is outside of our PID namespace
            continue
        who = f"{printable(comm)} (pid {pid}, which oomctl runs in)"
        found.append(ProtectedTask(pid, "oomctl itself" if pid == own else who, cgroup))
    return found


def read_tasks(cgroup_of: Mapping[int, str]) -> list[Task]:
    """Return the tasks of a cgroup's subtree that still live, in the same order."""
    found = (read_task(pid, cgroup) for pid, cgroup in cgroup_of.items() if pid)
    return [task for task in found if task]


def all_tasks() -> list[Task]:
    """Return every process of the machine in the order of their making.

    That is how the OOM killer walks them (for_each_process; kernel/fork.c appends to
    init_task.tasks). PIDs say the same only until they wrap.
    """
    nodes = _mems_allowed(_fields(_PROC / "self/status"))
    found = (read_task(pid, nodes=nodes) for pid in psutil.pids())
    return sorted((task for task in found if task), key=lambda task: (task.started, task.pid))


def unified_cgroup(pid: int) -> str:
    """Return the cgroup v2 path of a process; `/` where it has none."""
    return printable(unified_path((_PROC / str(pid) / "cgroup").read_bytes()))


def unified_path(text: bytes) -> str:
    """Return the cgroup v2 path in the text of a /proc/PID/cgroup, not escaped; `/` without one."""
    lines = text.split(b"\n")
    return next((os.fsdecode(line[3:]) for line in lines if line.startswith(b"0::")), "/")


def in_first_namespace(kind: str) -> bool:
    """Tell whether we are in the namespace that the kernel booted with: "user", "pid", "cgroup"."""
    try:
        return (_PROC / "self/ns" / kind).stat().st_ino == _FIRST[kind]
    except FileNotFoundError:  # built without such namespaces, it has only one
        return True


def sees_init_pids() -> bool:
    """Tell whether our PIDs are those of the kernel log, not of a PID namespace of our own."""
    return in_first_namespace("pid")


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
    try:
        return kernelfile.stored(_PROC / str(pid) / "oom_score_adj", value) == str(value)
    except KernelFileError:
        return False
