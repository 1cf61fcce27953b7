"""An outcome as JSON values; SCHEMA rises if a field changes its meaning or is removed. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from oomctl.oom.counts import KillCounts
from oomctl.oom.enums import CountSource, EvidenceSource, Via
from oomctl.oom.kill import OomKill
from oomctl.oom.log.logrecord import Record
from oomctl.oom.outcome import ActionReport, CallReport, Environment, Outcome, TaskReport
from oomctl.oom.paths import is_within, relative
from oomctl.oom.plan import Plan, flag_names
from oomctl.oom.prediction import Candidate, Prediction
from oomctl.oom.reason import Reason, Score, reasons
from oomctl.oom.why import why
from oomctl.text import printable

SCHEMA = 3
_UNITS = {
    **dict.fromkeys(("size", "working_set", "amount", "above"), "_bytes"),
    **dict.fromkeys(("delay", "every", "hold", "latency", "timeout"), "_s"),
    "rate": "_bytes_per_s",
}
"""What the fields of a plan end with, which are numbers of this unit."""


def tree(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as plain values: bytes, nanoseconds, null if unknown."""
    machine = environment(outcome.environment)
    return {"schema": SCHEMA, "environment": machine, **of_round(outcome)}


def of_round(outcome: Outcome) -> dict[str, Any]:
    """Return the same without what all rounds of a run have in common."""
    top = outcome.top
    return {
        "top": top,
        "calls": [call(report, top) for report in outcome.calls],
        "tasks": [task(report, top) for report in outcome.tasks],
        "events": [
            {"cgroup": cgroup, "cgroup_name": _name(cgroup, top), "counters": dict(rises)}
            for cgroup, rises in outcome.moved.items()
        ],
        "actions": [_action(each) for each in outcome.actions],
        "memory_current": {
            "before_bytes": outcome.memory_before,
            "after_bytes": outcome.memory_after,
        },
        "kill_counts": kill_counts(outcome.counts) if outcome.counts else None,
        "samples": [
            {
                "at_ns": each.at_ns,
                "cgroup": each.cgroup,
                "cgroup_name": _name(each.cgroup, top),
                "bytes": each.bytes,
            }
            for each in outcome.samples
        ],
        "log": _log(outcome.log),
        "log_records_lost": outcome.log_lost,
        "nr_dying_descendants": outcome.dying,
        "own_rss_bytes": outcome.own_rss,
        "took_ns": outcome.took_ns,
        "checks": [asdict(check) for check in outcome.checks],
        "verdict": outcome.verdict.name,
        "reason": outcome.verdict.reason,
        "notes": list(outcome.notes),
        "failure": str(outcome.failure) if outcome.failure else None,
    }


def plan(made: Plan) -> dict[str, Any]:
    """Return a plan as plain values, as `--dry-run` shows it."""
    plain: dict[str, Any] = _with_units(asdict(made))
    if plain["expect"]:
        plain["expect"]["events"] = [
            {"cgroup": cgroup, "file": file, "counters": counters}
            for (cgroup, file), counters in plain["expect"]["events"].items()
        ]
    return plain


def _with_units(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {
            f"{name}{_UNITS.get(name, '')}" if isinstance(name, str) else name: _with_units(value)
            for name, value in plain.items()
        }
    return [_with_units(each) for each in plain] if isinstance(plain, list | tuple) else plain


def environment(machine: Environment) -> dict[str, Any]:
    """Return the machine, its kernel and its kfunc as plain values."""
    plain = asdict(machine)
    for name in ("memory", "swap", "page_size"):
        plain[f"{name}_bytes"] = plain.pop(name)
    plain["kernel_command_line"] = plain.pop("command_line") or None
    for name in ("host", "command", "time"):
        plain[name] = plain[name] or None
    plain["kfunc"] = {
        "signature": plain["kfunc"],
        "provider": plain.pop("kfunc_provider"),
        "variant": plain.pop("kfunc_variant"),
    }
    return plain


def call(report: CallReport, top: str | None) -> dict[str, Any]:
    """Return one call and its evidence as plain values."""
    result = report.result
    return {
        "step": report.step,
        "turn": report.turn,
        "via": report.call.via,
        "context": report.call.context,
        "stall_s": report.call.stall if report.call.via == Via.PSI else None,
        "target": report.call.target,
        "target_name": _name(report.call.target, top),
        "cgroup_id": report.cgroup_id,
        "order": report.call.order,
        "flags": report.call.flags,
        "flag_names": flag_names(report.call.flags),
        "amount_bytes": report.call.amount,
        "ret": result.ret,
        "errno": result.errno_name,
        "began_ns": result.began_ns,
        "duration_ns": result.duration_ns,
        "timed_out": result.timed_out,
        "attempts": result.attempts,
        "spared": result.spared,
        "reclaimed_bytes": result.reclaimed,
        "caller_pid": result.caller or None,
        "killed_pids": [kill.pid for kill in report.kills],
        "kills": [_kill(kill, top) for kill in report.kills],
        "collateral": sorted(report.collateral),
        "gone": sorted(report.gone),
        "verdict": report.verdict.name,
        "reason": report.verdict.reason,
        "evidence": _evidence(report),
        "timeline": _timeline(report),
        "prediction": _prediction(report),
        "reasons": [reason(each) for each in reasons(report)],
        "pressure": {f"{kind}_us": rise for kind, rise in report.pressure.items()} or None,
        "log": _log(report.log),
    }


def _action(report: ActionReport) -> dict[str, Any]:
    action = report.action
    return {
        "step": action.step,
        "do": action.do,
        **{name: getattr(action, name) or None for name in ("cgroup", "hog", "file", "value")},
        "at_ns": report.at_ns,
        "after_ns": report.after_ns,
        "took_ns": report.took_ns,
        "failed": report.failed or None,
    }


def kill_counts(found: KillCounts) -> dict[str, Any]:
    """Return the kills as each source counts them, and why they differ, as plain values."""
    return {
        **{source.name.lower(): found.counts.get(source) for source in CountSource},
        "differences": [
            {"source": each.source.name.lower(), "fewer": each.number, "rule": each.rule}
            for each in found.differences
        ],
        "reports_suppressed": found.suppressed,
    }


def _name(cgroup: str | None, top: str | None) -> str | None:
    """Return the scenario's name of a cgroup: "." is the top; None for one outside of it."""
    if cgroup is None or top is None or not is_within(cgroup, top):
        return None
    return relative(cgroup, top).removeprefix("./")


def _kill(kill: OomKill, top: str | None) -> dict[str, Any]:
    return {
        "pid": kill.pid,
        "comm": kill.comm,
        "cgroup": kill.cgroup,
        "cgroup_name": _name(kill.cgroup, top),
        "role": kill.role,
        "at_ns": kill.at_ns,
        "rss_bytes": kill.rss,
        "allocating": kill.allocating,
    }


def _log(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [
        {"sequence": r.sequence, "time_us": r.time_us, "text": printable(r.text)} for r in records
    ]


def _evidence(report: CallReport) -> dict[str, Any]:
    evidence = report.evidence
    return {
        "source": evidence.source,
        "no_tracing_reason": evidence.no_tracing_reason or None,
        "seen": sorted(evidence.seen) if evidence.source == EvidenceSource.RING_BUFFER else None,
        "logged": sorted(evidence.logged),
        "agree": evidence.agree,
        "lost": evidence.lost,
        "silent": list(evidence.silent),
    }


def _timeline(report: CallReport) -> list[dict[str, Any]]:
    stamps = report.timeline.stamps
    return [
        {
            "name": stamp.name,
            "at_ns": stamp.at_ns,
            "after_call_ns": stamp.at_ns - stamps[0].at_ns,
            "pid": stamp.pid,
        }
        for stamp in stamps
    ]


def _prediction(report: CallReport) -> dict[str, Any] | None:
    prediction = report.prediction
    if prediction is None:
        return None
    return {
        "totalpages": prediction.totalpages,
        "agrees": report.as_predicted,
        **choice(prediction),
        "candidates": [candidate(each) for each in prediction.candidates],
    }


def choice(prediction: Prediction) -> dict[str, Any]:
    """Return what a prediction chooses, may choose instead, and by which groups."""
    return {
        "victims": list(prediction.victims),
        "group": prediction.group,
        "close": list(prediction.close),
        "instead": [list(pids) for pids in prediction.instead],
        "oom_groups": sorted(prediction.given.groups) if prediction.given else [],
    }


def candidate(ranked: Candidate) -> dict[str, Any]:
    """Return one candidate of a prediction as plain values: sizes in bytes, badness in pages."""
    task = ranked.task
    return {
        "pid": task.pid,
        "comm": task.comm,
        "cgroup": task.cgroup or None,
        "rss_bytes": task.rss,
        "swap_bytes": task.swap,
        "pgtables_bytes": task.pgtables,
        "oom_score_adj": task.oom_score_adj,
        "badness_pages": ranked.badness,
        "excluded": ranked.excluded or None,
    }


def reason(one: Reason) -> dict[str, Any]:
    """Return why a task was chosen, or would be, as plain values: sizes in pages."""
    return {
        "sentence": why(one),
        "basis": one.basis,
        "pid": one.pid,
        "comm": one.comm or None,
        "taken": one.taken,
        "score": _score(one.score),
        "rank": one.rank,
        "eligible": one.eligible,
        "rival": _score(one.rival),
        "margin_pages": one.margin,
        "within_error": one.within_error,
        "pages_per_adj_point": one.weight,
        "excluded": one.excluded or None,
        "passed_over": dict(one.passed_over),
        "group": one.group,
        "spared": [pid for pid, _comm in one.spared],
    }


def _score(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        "pid": score.pid,
        "comm": score.comm,
        "cgroup": score.cgroup,
        "rss_pages": score.rss,
        "swap_pages": score.swap,
        "pgtables_pages": score.pgtables,
        "oom_score_adj": score.adj,
        "adj_pages": score.adj_pages,
        "badness_pages": score.badness,
    }


def task(report: TaskReport, top: str | None) -> dict[str, Any]:
    """Return one task and its end as plain values."""
    seen = report.task
    return {
        "pid": seen.pid,
        "comm": seen.comm,
        "cgroup": seen.cgroup,
        "cgroup_name": _name(seen.cgroup, top),
        "name": report.name,
        "entry": report.entry,
        "kind": report.kind,
        "size_bytes": report.size,
        "filled_bytes": report.filled.bytes if report.filled else None,
        "fill_ns": report.filled.took_ns if report.filled else None,
        "lost_bytes": report.filled.lost_bytes if report.filled else None,
        "failed": report.failed or None,
        "holds": report.holds.tree() if report.holds else None,
        "charged_bytes": report.charged,
        "rss_bytes": seen.rss,
        "swap_bytes": seen.swap,
        "pgtables_bytes": seen.pgtables,
        "oom_score_adj": seen.oom_score_adj,
        "badness_pages": report.badness,
        "fate": str(report.fate),
        "signal": report.fate.signal_name,
        "call": report.call,
        "phase": report.phase,
        "died_after_ns": report.died_after_ns,
        "collateral": report.collateral,
        "oom_kill": _oom_kill(report.kill) if report.kill else None,
    }


def _oom_kill(kill: OomKill) -> dict[str, Any]:
    """Return the OOM that killed a task: its cgroup, and the task that ran the OOM killer."""
    return {
        "at_ns": kill.at_ns,
        "exited_after_ns": kill.exited_after_ns,
        "memcg": kill.memcg,
        "constraint": kill.constraint,
        "group": kill.group,
        "invoker_pid": kill.invoker_pid,
        "invoker_comm": kill.invoker_comm,
        "traced": kill.traced,
        "logged": kill.logged,
    }
