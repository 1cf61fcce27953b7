"""An outcome as one JSON object; `schema` rises when a field changes its meaning or goes."""

import json
from dataclasses import asdict
from typing import Any

from oomctl.outcome import Declared, Fated, Outcome
from oomctl.plan import flag_names

SCHEMA = 1


def render(outcome: Outcome) -> str:
    """Return the object, indented, with a newline at the end."""
    return json.dumps(tree(outcome), indent=2) + "\n"


def tree(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as plain values: bytes, nanoseconds, null for what is not known."""
    return {
        "schema": SCHEMA,
        "environment": _environment(outcome),
        "calls": [_call(declared) for declared in outcome.declared],
        "tasks": [_task(fated) for fated in outcome.tasks],
        "events": {cgroup: dict(delta) for cgroup, delta in outcome.events.items()},
        "memory_current": {"before": outcome.memory_before, "after": outcome.memory_after},
        "log_records_lost": outcome.log_lost,
        "verdict": outcome.verdict.name,
        "reason": outcome.verdict.reason,
        "notes": list(outcome.notes),
    }


def _environment(outcome: Outcome) -> dict[str, Any]:
    plain = asdict(outcome.environment)
    plain["kfunc"] = {
        "signature": plain["kfunc"],
        "provider": plain.pop("kfunc_provider"),
        "variant": plain.pop("kfunc_variant"),
    }
    return plain


def _call(declared: Declared) -> dict[str, Any]:
    answer = declared.answer
    return {
        "target": declared.call.target,
        "cgroup_id": declared.cgroup_id,
        "order": declared.call.order,
        "flags": declared.call.flags,
        "flag_names": flag_names(declared.call.flags),
        "ret": answer.ret,
        "errno": answer.errno_name,
        "began_ns": answer.began_ns,
        "duration_ns": answer.duration_ns,
        "timed_out": answer.timed_out,
        "killed_pids": [kill.pid for kill in declared.kills],
        "verdict": declared.verdict.name,
        "reason": declared.verdict.reason,
    }


def _task(fated: Fated) -> dict[str, Any]:
    task = fated.task
    return {
        "pid": task.pid,
        "comm": task.comm,
        "cgroup": task.cgroup,
        "name": fated.name,
        "asked_bytes": fated.asked,
        "charged_bytes": fated.charged,
        "rss_bytes": task.rss,
        "swap_bytes": task.swap,
        "pgtables_bytes": task.pgtables,
        "oom_score_adj": task.oom_score_adj,
        "fate": str(fated.fate),
        "signal": fated.fate.signal_name,
        "call": fated.call,
        "died_after_ns": fated.died_after_ns,
    }
