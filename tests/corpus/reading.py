"""What is read from a log of the corpus, in the words of its answers: sizes in kB."""

import io

from oomctl.cli.explain import read_log


def read(data):
    """Return the explanations of a log."""
    return list(read_log(io.BytesIO(data), "log"))


def facts(found):
    """Return the fields of one explanation that an answer may have."""
    report, victim = found.report, found.report.victim
    memory = report.counters.get("memory")
    rows = [row for row in report.tasks if victim and row.pid in (victim.pid, victim.thread)]
    plain = {
        "end": str(report.end),
        "constraint": report.constraint and str(report.constraint),
        "tasks": len(report.tasks),
        "members": [each.pid for each in report.members],
        "usage": memory and memory.usage >> 10,
        "limit": memory.limit >> 10 if memory and memory.limit is not None else None,
        "failcnt": memory and memory.failcnt,
        "totalpages": found.totalpages.least,
        "follows": found.follows,
        "repeats": found.repeats,
        "pgtables_row": rows[0].pgtables if rows else None,
        "adj": victim and victim.oom_score_adj,
    }
    for name in (
        *("time_us", "when", "host", "caller", "kernel", "invoker_comm", "invoker_pid", "order"),
        *("invoker_adj", "gfp_mask", "gfp_flags", "nodemask", "cpuset", "mems_allowed", "memcg"),
        *("group", "allocating", "panic", "suppressed"),
    ):
        plain[name] = getattr(report, name)
    for name in ("pid", "comm", "thread", "uid", "cgroup", "score", "chosen_pid"):
        plain[name] = getattr(victim, name, None)
    for name in ("total_vm", "anon", "file", "shmem", "pgtables"):
        size = getattr(victim, name, None)
        plain[name] = None if size is None else size >> 10
    return plain
