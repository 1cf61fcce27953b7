"""Explained OOM reports as one JSON object (explain-schema.json), written piece by piece."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from oomctl import commandline
from oomctl.describe.report_text import cause_text, choice_text
from oomctl.oom import as_json
from oomctl.oom.explanation import Explanation
from oomctl.oom.log.oomreport import OomReport, Victim
from oomctl.oom.memorykinds import Memory


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


def _victim(victim: Victim) -> dict[str, Any]:
    plain = asdict(victim)
    for name in ("total_vm", "anon", "file", "shmem", "pgtables"):
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
