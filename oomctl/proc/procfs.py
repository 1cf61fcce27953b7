"""Processes and sysctls as /proc and psutil show them."""

import ctypes
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from oomctl.files import kernelfile
from oomctl.files.kernelfile import KernelFileError, content
from oomctl.oom.task import ProtectedTask, Task
from oomctl.text import printable

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_SIZE_LINE = re.compile(rb"^(\w+):[ \t]+([0-9]+) kB$", re.MULTILINE)
# PROC_USER_INIT_INO and so on, include/linux/proc_ns.h
_FIRST = {"user": 0xEFFFFFFD, "pid": 0xEFFFFFFC, "cgroup": 0xEFFFFFFB}

_PF_FORKNOEXEC, _PF_KTHREAD = 0x40, 0x200000  # include/linux/sched.h
_KCMP_VM = 1  # include/uapi/linux/kcmp.h
_SYS_KCMP = {"x86_64": 312, "aarch64": 272}
_libc = ctypes.CDLL(None)


def read_task(pid: int, cgroup: str | None = None, nodes: int | None = None) -> Task | None:
    """Return the task as it is now; None if it is gone.

    `nodes` are the memory nodes of the caller of a system-wide OOM, as a bit mask: a task that may
    use none of them is not eligible (mm/oom_kill.c, oom_cpuset_eligible()).

    `rss` is the sum of the kernel's per-CPU counters, as in status (fs/proc/task_mmu.c,
    task_mem()). oom_badness() of 7.3 adds them up too (get_mm_rss_sum()); that of 6.12 reads them
    without the part still on a CPU (get_mm_rss()), as stat does (fs/proc/array.c, do_task_stat()):
    that is `rss_read`. No file tells which of the two a kernel does. For swap the kernel shows only
    the sum; `slack` is the most that its CPUs can hold back.
    """
    try:
        at = os.open(f"{_PROC}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _read_task(pid, at, cgroup, nodes)
    except (OSError, ValueError, IndexError):
        return None
    finally:
        os.close(at)


def _read_task(pid: int, at: int, cgroup: str | None, nodes: int | None) -> Task:
    """Read a task from its open folder: then no file is another task's, if its PID is reused."""
    comm, stat = _stat(at)
    flags, parent = int(stat[6]), int(stat[1])
    thread, status = _with_memory(at, bool(flags & _PF_KTHREAD))
    adj = int(content("oom_score_adj", at))
    if cgroup is None:
        cgroup = printable(unified_path(content("cgroup", at)))
    shares = parent if flags & _PF_FORKNOEXEC and _one_memory(pid, parent) else 0
    spared = _not_eligible_reason(flags, shares)
    if not spared and nodes and not _mems_allowed(status) & nodes:
        spared = "cpuset of other nodes"
    rss, swap, pgtables = (_size(status, each) for each in (b"VmRSS", b"VmSwap", b"VmPTE"))
    of_holder = _stat(at, f"task/{thread}/stat")[1] if thread else stat
    return Task(
        pid=pid,
        comm=printable(os.fsdecode(comm)),
        cgroup=cgroup,
        oom_score_adj=adj,
        rss=rss,
        swap=swap,
        pgtables=pgtables,
        started=int(stat[19]) / _TICKS,
        has_mm=_field(status, b"VmRSS") is not None,
        rss_read=int(of_holder[21]) * PAGE_SIZE if rss else None,
        slack=min(swap, _percpu_pages() * PAGE_SIZE),
        parent=parent,
        thread=thread,
        other_threads=tuple(each for each in _threads(at) if each not in (pid, thread))
        if thread
        else (),
        shares=shares,
        not_eligible_reason=spared,
    )


def memory_holder(pid: int) -> int:
    """Return the thread of a process that has its memory: not the leader if that has ended.

    OSError if the process is gone.
    """
    at = os.open(f"{_PROC}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _with_memory(at, kernel_thread=False)[0] or pid
    finally:
        os.close(at)


def _with_memory(at: int, kernel_thread: bool) -> tuple[int, bytes]:
    """Return the thread that has the memory, 0 for the leader, and its status.

    A leader may end before its threads; the OOM killer then takes the memory from one of those
    (mm/oom_kill.c, find_lock_task_mm()). If no thread has memory, this is the leader.
    """
    status = content("status", at)
    if _field(status, b"VmRSS") is None and not kernel_thread:
        for thread in _threads(at):
            other = content(f"task/{thread}/status", at)
            if _field(other, b"VmRSS") is not None:
                return thread, other
    return 0, status


def _threads(at: int) -> list[int]:
    folder = os.open("task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
    try:
        with os.scandir(folder) as entries:
            return [int(entry.name) for entry in entries]
    finally:
        os.close(folder)


def _stat(at: int, path: str = "stat") -> tuple[bytes, list[bytes]]:
    """Return the comm in a stat, and the fields after it: the state, the parent's PID, ...

    The comm is as in the file comm (fs/proc/array.c, proc_task_name()).
    """
    head, _, rest = content(path, at).rpartition(b")")
    return head.partition(b"(")[2], rest.split()


def sizes(pid: int, file: str = "status") -> dict[str, int]:
    """Return the sizes in /proc/PID/status or a similar file, in bytes; OSError if it is gone."""
    found = _SIZE_LINE.findall(content(f"{_PROC}/{pid}/{file}"))
    return {name.decode(): int(size) << 10 for name, size in found}


def _field(status: bytes, name: bytes) -> bytes | None:
    """Return a field of a status; the name of the task, which is the first, has no newline."""
    _, found, rest = status.partition(b"\n%s:\t" % name)
    return rest.partition(b"\n")[0] if found else None


def _size(status: bytes, name: bytes) -> int:
    return int((_field(status, name) or b"0 kB").split()[0]) << 10


def _percpu_pages() -> int:
    """Return how many pages of one counter the CPUs can hold back together.

    Each holds back less than a batch (lib/percpu_counter.c, percpu_counter_add_batch() and
    compute_batch_value()).
    """
    cpus = os.sysconf("SC_NPROCESSORS_ONLN")
    return cpus * (max(32, 2 * cpus) - 1)


def _mems_allowed(status: bytes) -> int:
    allowed = _field(status, b"Mems_allowed")
    return -1 if allowed is None else int(allowed.replace(b",", b""), 16)


def _not_eligible_reason(flags: int, shares: int) -> str:
    """Return why the OOM killer skips a task, other than by its memory and its adj."""
    if flags & _PF_KTHREAD:
        return "kernel thread"
    return "inside vfork" if shares and _waits_for_child(shares) else ""


def _one_memory(pid: int, parent: int) -> bool:
    """Return whether a task shares its parent's memory."""
    number = _SYS_KCMP.get(platform.machine())
    return bool(parent and number) and _libc.syscall(number, parent, pid, _KCMP_VM, 0, 0) == 0


def _waits_for_child(parent: int) -> bool:
    """Return whether a parent sleeps in vfork(): oom_badness() skips its child (in_vfork())."""
    threads = (_PROC / str(parent) / "task").iterdir()
    return any((thread / "wchan").read_bytes() == b"kernel_clone" for thread in threads)


def doing(pid: int) -> str:
    """Describe a process: `77 (hog, D, do_exit)`; a dead one by its PID alone.

    The letter is its state, the last word the kernel function in which it sleeps.
    """
    folder = f"{_PROC}/{pid}"
    try:
        comm, _, rest = content(f"{folder}/stat").rpartition(b")")
        words = [comm.partition(b"(")[2], rest.split()[0]]
        wchan = content(f"{folder}/wchan")
    except (OSError, IndexError):
        return str(pid)
    words += [wchan] if wchan not in (b"", b"0") else []
    return f"{pid} ({', '.join(printable(os.fsdecode(word)) for word in words)})"


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    try:
        text = content(f"{_PROC}/{pid}/task/{pid}/children")
    except FileNotFoundError:  # without CONFIG_PROC_CHILDREN
        return [child.pid for child in psutil.Process(pid).children()]
    return [int(word) for word in text.split()]


def protected_tasks() -> list[ProtectedTask]:
    """Return oomctl itself, its ancestors, its session's leader, and init."""
    own = os.getpid()
    found: list[ProtectedTask] = []
    for pid in dict.fromkeys((own, *_ancestors(), os.getsid(0), 1)):
        try:
            comm = os.fsdecode(content(f"{_PROC}/{pid}/comm")).strip()
            cgroup = unified_path(content(f"{_PROC}/{pid}/cgroup"))
        except OSError:  # gone, or 0: a session leader outside our PID namespace
            continue
        other = f"{printable(comm)} (pid {pid}, which oomctl runs in)"
        found.append(ProtectedTask(pid, "oomctl itself" if pid == own else other, cgroup))
    return found


def _ancestors() -> Iterator[int]:
    """Yield our parent and all above it."""
    pid = os.getppid()
    while pid:
        yield pid
        try:
            pid = int(content(f"{_PROC}/{pid}/stat").rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):  # gone
            return


def read_tasks(cgroup_of: Mapping[int, str]) -> list[Task]:
    """Return the tasks that still exist of a PID to cgroup mapping, in its order."""
    found = (read_task(pid, cgroup) for pid, cgroup in cgroup_of.items() if pid)
    return [task for task in found if task]


def all_tasks() -> list[Task]:
    """Return every process of the machine in the order of their creation.

    The OOM killer walks them in this order (for_each_process(); copy_process() in kernel/fork.c
    appends to init_task.tasks). The order of PIDs is the same only until they wrap.
    """
    nodes = _mems_allowed(content(f"{_PROC}/self/status"))
    found = (read_task(pid, nodes=nodes) for pid in psutil.pids())
    return sorted((task for task in found if task), key=lambda task: (task.started, task.pid))


def unified_path(text: bytes) -> str:
    """Return the cgroup v2 path in the text of /proc/PID/cgroup; `/` if there is none."""
    lines = text.split(b"\n")
    return next((os.fsdecode(line[3:]) for line in lines if line.startswith(b"0::")), "/")


def in_first_namespace(kind: str) -> bool:
    """Return whether we are in the initial namespace of a kind: "user", "pid" or "cgroup"."""
    try:
        return (_PROC / "self/ns" / kind).stat().st_ino == _FIRST[kind]
    except FileNotFoundError:  # a kernel without such namespaces
        return True


def sees_init_pids() -> bool:
    """Return whether our PIDs are those of the kernel log."""
    return in_first_namespace("pid")


def total_pages() -> int:
    """Return RAM + swap in pages: the `totalpages` of a system-wide OOM."""
    return (psutil.virtual_memory().total + psutil.swap_memory().total) // PAGE_SIZE


def vmstat(name: str) -> int | None:
    """Return a counter of /proc/vmstat; None if the kernel lacks it."""
    _, found, rest = (b"\n" + content(f"{_PROC}/vmstat")).partition(b"\n%s " % name.encode())
    return int(rest.partition(b"\n")[0]) if found else None


def command_line() -> str:
    """Return the kernel's command line; empty if it cannot be read."""
    try:
        return Path("/proc/cmdline").read_text(errors="replace").strip()
    except OSError:
        return ""


def sysctl(name: str) -> int | None:
    """Return an integer sysctl such as "vm.panic_on_oom"; None if the kernel lacks it."""
    try:
        return int(content(f"{_PROC}/sys/{name.replace('.', '/')}"))
    except (OSError, ValueError):
        return None


def sysctls(names: Iterable[str]) -> dict[str, int | None]:
    """Return several sysctls by name."""
    return {name: sysctl(name) for name in names}


def set_oom_score_adj(value: int, pid: int | str = "self") -> bool:
    """Set the oom_score_adj of a process and return whether the kernel took it.

    Lowering needs CAP_SYS_RESOURCE, which even root may lack (fs/proc/base.c, __set_oom_adj()).
    """
    try:
        return kernelfile.stored(_PROC / str(pid) / "oom_score_adj", value) == str(value)
    except KernelFileError:
        return False
