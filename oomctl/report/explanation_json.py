"""Explained OOM reports as JSON (explain-schema.json), which is read back, and as rows of CSV."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from oomctl import commandline
from oomctl.describe.report_text import cause_text, choice_text
from oomctl.oom import as_json
from oomctl.oom.dumped import KILLED_BEFORE
from oomctl.oom.enums import Constraint
from oomctl.oom.explanation import Explanation, explain
from oomctl.oom.log.oomreport import (
    DumpedTask,
    Machine,
    OomEnd,
    OomReport,
    PageCounter,
    Victim,
)
from oomctl.oom.memorykinds import Memory
from oomctl.report.rows import as_csv

_SAME = (
    *("time_us", "kernel", "order", "gfp_mask", "gfp_flags", "nodemask", "cpuset", "mems_allowed"),
    *("memcg", "group", "is_member", "allocating", "panic", "stat", "stat_of", "suppressed"),
)
_COLUMNS = (
    *("number", "end", "time_us", "when", "host", "kernel", "invoker", "constraint", "memcg"),
    *("cause", "victim", "follows", "choice"),
)
_IN_PAGES = ("total_vm", "rss", "swapents", "rss_anon", "rss_file", "rss_shmem")
_IN_BYTES = ("total_vm", "anon", "file", "shmem", "pgtables")


def render(found: Iterable[Explanation], source: str, top: int | None) -> Iterator[str]:
    """Yield the object; sizes are in bytes, what the dump counts in pages."""
    head = {"schema": as_json.SCHEMA, "environment": commandline.origin(), "source": source}
    yield json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "reports": ['
    separator = "\n"
    for each in found:
        yield separator + json.dumps(tree(each, top))
        separator = ",\n"
    yield "\n  ]\n}\n"


def tree(found: Explanation, top: int | None = None) -> dict[str, Any]:
    """Return one explanation as plain values; null if unknown."""
    report, total = found.report, found.totalpages
    candidates = found.prediction.candidates if found.prediction else ()
    shown = candidates[:top]
    return {
        "number": found.number,
        "end": report.end,
        "time_us": report.time_us,
        "when": report.when or None,
        "host": report.host or None,
        "caller": report.caller or None,
        "kernel": report.kernel,
        "invoker": {
            "pid": report.invoker_pid,
            "comm": report.invoker_comm,
            "oom_score_adj": report.invoker_adj,
        },
        "order": report.order,
        "gfp_mask": report.gfp_mask,
        "gfp_flags": report.gfp_flags,
        "constraint": report.constraint,
        "nodemask": report.nodemask,
        "cpuset": report.cpuset,
        "mems_allowed": report.mems_allowed,
        "memcg": report.memcg,
        "cause": cause_text(report),
        "panic": report.panic,
        "victim": _victim(report.victim) if report.victim else None,
        "group": report.group,
        "members": [_victim(each) for each in report.members],
        "is_member": report.is_member,
        "allocating": report.allocating,
        "counters": _counters(report),
        "stat": dict(report.stat),
        "stat_of": report.stat_of,
        "machine": _machine(report.machine) if report.machine else None,
        "dump": {
            "is_there": report.has_dump,
            "rows_lost": report.tasks_lost,
            "rows": [_row(each) for each in report.tasks],
        },
        "killed_before": [one.task.pid for one in candidates if one.excluded == KILLED_BEFORE],
        "memory": _memory(found.memory) if found.memory else None,
        "totalpages": {
            "least": total.least,
            "most": total.most,
            "exact": total.is_exact,
            "of": total.of,
        },
        "page_size_bytes": report.page_size,
        "candidates": [as_json.candidate(one) for one in shown],
        "candidates_left_out": len(candidates) - len(shown),
        "reason": as_json.reason(found.reason) if found.reason else None,
        "follows": found.follows,
        "choice": choice_text(found),
        "missing": list(found.missing),
        "suppressed": report.suppressed,
        "repeats": found.repeats,
    }


def read(tree: Mapping[str, Any]) -> tuple[list[Explanation], str, None]:
    """Read render() back: all that a renderer takes. What follows is computed again."""
    return [_explanation(each) for each in tree["reports"]], tree["source"], None


def _explanation(tree: Mapping[str, Any]) -> Explanation:
    invoker, dump = tree["invoker"], tree["dump"]
    texts = {name: tree[name] or "" for name in ("when", "host", "caller")}
    same: dict[str, Any] = {name: tree[name] for name in _SAME} | texts
    report = OomReport(
        **same,
        end=OomEnd(tree["end"]),
        invoker_comm=invoker["comm"],
        invoker_pid=invoker["pid"],
        invoker_adj=invoker["oom_score_adj"],
        constraint=Constraint(tree["constraint"]) if tree["constraint"] else None,
        victim=_read_victim(tree["victim"]) if tree["victim"] else None,
        members=tuple(map(_read_victim, tree["members"])),
        counters={
            name: PageCounter(each["usage_bytes"], each["limit_bytes"], each["failcnt"])
            for name, each in tree["counters"].items()
        },
        machine=_read_machine(tree["machine"]) if tree["machine"] else None,
        tasks=tuple(map(_read_row, dump["rows"])),
        has_dump=dump["is_there"],
        tasks_lost=dump["rows_lost"],
    )
    found = explain(tree["number"], report, frozenset(tree["killed_before"]))
    return replace(found, repeats=tree["repeats"])


def render_csv(found: Iterable[Explanation], _source: str, top: int | None) -> Iterator[str]:
    """Yield a row for each report."""
    rows = ({name: each[name] for name in _COLUMNS} for each in (tree(one, 0) for one in found))
    yield as_csv({**row, "victim": row["victim"] or {}} for row in rows)


def _machine(machine: Machine) -> dict[str, Any]:
    return {
        "ram_pages": machine.ram_pages,
        "reserved_pages": machine.reserved_pages,
        "swap_total_bytes": machine.swap_total,
        "swap_free_bytes": machine.swap_free,
        "present_bytes": {str(node): size for node, size in machine.present.items()},
        "pages": dict(machine.pages),
    }


def _read_machine(tree: Mapping[str, Any]) -> Machine:
    return Machine(
        tree["ram_pages"],
        tree["reserved_pages"],
        tree["swap_total_bytes"],
        tree["swap_free_bytes"],
        {int(node): size for node, size in tree["present_bytes"].items()},
        tree["pages"],
    )


def _row(row: DumpedTask) -> dict[str, Any]:
    plain = asdict(row)
    for name in _IN_PAGES:
        plain[f"{name}_pages"] = plain.pop(name)
    plain["pgtables_bytes"] = plain.pop("pgtables")
    return plain


def _read_row(tree: Mapping[str, Any]) -> DumpedTask:
    return DumpedTask(
        **{name.removesuffix("_pages").removesuffix("_bytes"): tree[name] for name in tree}
    )


def _read_victim(tree: Mapping[str, Any]) -> Victim:
    return Victim(
        **{
            name.removesuffix("_bytes"): value
            for name, value in tree.items()
            if name != "rss_bytes"
        }
    )


def _victim(victim: Victim) -> dict[str, Any]:
    plain = asdict(victim)
    for name in _IN_BYTES:
        plain[f"{name}_bytes"] = plain.pop(name)
    return plain | {"rss_bytes": victim.rss}


def _counters(report: OomReport) -> dict[str, Any]:
    return {
        name: {
            "usage_bytes": each.usage,
            "limit_bytes": each.limit,
            "failcnt": each.failcnt,
        }
        for name, each in report.counters.items()
    }


def _memory(memory: Memory) -> dict[str, Any]:
    return {
        "usage_bytes": memory.usage,
        "by_kind": dict(memory.kinds),
        "of_no_task_bytes": memory.of_no_task,
        "free_bytes": memory.free,
    }
