"""Reads what a subtree's snapshot says of one process."""

from pathlib import Path

from oomctl.oom.subtree import MemberTask
from oomctl.proc import procfs
from oomctl.text import printable


def read_member(
    pid: int, cgroup: str, *, rollup: bool = True, command: bool = False
) -> MemberTask | None:
    """Return a process of a cgroup, its memory by kind; None if it is gone.

    The parts are those that oom_badness() counts, as in status (fs/proc/task_mmu.c, task_mem()).
    With `rollup` its pss is read too, for which the kernel walks all of its memory.
    """
    task = procfs.read_task(pid, cgroup)
    if task is None:
        return None
    folder = Path("/proc", str(pid))
    try:
        parts = procfs.sizes(pid, f"task/{task.thread}/status" if task.thread else "status")
        threads = len(list((folder / "task").iterdir()))
        words = (folder / "cmdline").read_bytes().split(b"\0") if command else []
    except OSError:
        return None
    return MemberTask(
        task,
        anon=parts.get("RssAnon", 0),
        file=parts.get("RssFile", 0),
        shmem=parts.get("RssShmem", 0),
        hugetlb=parts.get("HugetlbPages", 0),
        threads=threads,
        pss=_pss(pid) if rollup and task.has_mm else None,
        command=printable(" ".join(word.decode(errors="surrogateescape") for word in words)),
    )


def _pss(pid: int) -> int | None:
    try:
        return procfs.sizes(pid, "smaps_rollup").get("Pss")
    except OSError:  # another user's, or a kernel without it
        return None
