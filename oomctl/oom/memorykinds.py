"""The memory of an OOM report by kind, and how much of it belongs to no task. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from oomctl.oom.log.oomreport import OomReport


@dataclass(frozen=True)
class Memory:
    """Bytes of memory by kind, the largest first; `usage` is all of it.

    `of_no_task` is what would not be freed if every task died; `free` is what a machine has left.
    `mapped` says whether the dump tells how much shared memory tasks map; otherwise all of it
    counts as of no task.
    """

    usage: int
    kinds: Mapping[str, int]
    of_no_task: int
    mapped: bool
    free: int | None = None


_OF_TASKS = ("anon", "page tables", "kernel stacks")


def memory_of(report: OomReport) -> Memory | None:
    """Return the memory of the cgroup, or of the machine in a system-wide report; None if unknown.

    Kinds are those of memory.stat; in v1 `rss` is anon and `cache` has shmem in it.
    """
    memory = report.counters.get("memory")
    if memory and report.stat:
        return _memory(report, memory.usage, _of_memcg(report))
    machine = report.machine
    if not machine or not machine.pages or machine.ram_pages is None:
        return None
    pages, page = machine.pages, report.page_size
    free = (pages.get("free", 0) + pages.get("free_pcp", 0)) * page
    usage = (machine.ram_pages - (machine.reserved_pages or 0)) * page - free
    shmem = pages.get("shmem", 0)
    kinds = {
        "anon": pages.get("active_anon", 0) + pages.get("inactive_anon", 0) - shmem,
        "shmem": shmem,
        "page cache": pages.get("active_file", 0) + pages.get("inactive_file", 0),
        "unevictable": pages.get("unevictable", 0),
        "page tables": pages.get("pagetables", 0),
        "slab": pages.get("slab_reclaimable", 0) + pages.get("slab_unreclaimable", 0),
    }
    found = _memory(report, usage, {name: number * page for name, number in kinds.items()})
    return Memory(found.usage, found.kinds, found.of_no_task, found.mapped, free)


def _of_memcg(report: OomReport) -> dict[str, int]:
    stat = report.stat
    if "rss" in stat and "anon" not in stat:
        shmem = stat.get("shmem", 0)
        kmem = report.counters.get("kmem")
        return {
            "anon": stat["rss"],
            "shmem": shmem,
            "page cache": stat.get("cache", 0) - shmem,
            "kernel memory": kmem.usage if kmem else 0,
        }
    shmem = stat.get("shmem", 0)
    slab = stat.get("slab", stat.get("slab_reclaimable", 0) + stat.get("slab_unreclaimable", 0))
    kinds = {
        "anon": stat.get("anon", 0),
        "shmem": shmem,
        "page cache": stat.get("file", 0) - shmem,
        "page tables": stat.get("pagetables", 0),
        "kernel stacks": stat.get("kernel_stack", 0),
        "slab": slab,
        "sockets": stat.get("sock", 0),
        "per-CPU": stat.get("percpu", 0),
        "vmalloc": stat.get("vmalloc", 0),
        "zswap": stat.get("zswap", 0),
    }
    known = ("page tables", "kernel stacks", "slab", "per-CPU", "vmalloc", "zswap")
    kinds["other kernel memory"] = stat.get("kernel", 0) - sum(kinds[name] for name in known)
    return kinds


def _memory(report: OomReport, usage: int, kinds: Mapping[str, int]) -> Memory:
    """Sum up: what the kinds do not explain is `rest`, charges that CPUs keep in stock included."""
    found = {name: size for name, size in kinds.items() if size > 0}
    rest = usage - sum(found.values())
    if rest > 0:
        found["rest"] = rest
    maps = [row.rss_shmem for row in report.tasks if row.rss_shmem is not None]
    mapped = min(sum(maps) * report.page_size, found.get("shmem", 0))
    of_tasks = sum(found.get(name, 0) for name in _OF_TASKS) + mapped
    order = sorted(found, key=lambda name: (name == "rest", -found[name]))
    return Memory(
        usage,
        {name: found[name] for name in order},
        max(usage - of_tasks, 0),
        bool(maps) or "shmem" not in found,
    )
