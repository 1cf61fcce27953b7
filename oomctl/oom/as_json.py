"""An outcome as plain values, for JSON; SCHEMA rises when a field changes its meaning or goes."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from oomctl.oom.enums import EvidenceSource
from oomctl.oom.kill import OomKill
from oomctl.oom.klog import Record
from oomctl.oom.outcome import CallReport, Environment, Outcome, Sample, TaskReport
from oomctl.oom.plan import flag_names
from oomctl.oom.prediction import Candidate
from oomctl.text import printable

SCHEMA = 2


def tree(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as plain values: bytes, nanoseconds, null for what is not known."""
    return {
        "schema": SCHEMA,
        "environment": environment(outcome.environment),
        "top": outcome.top,
        "calls": [call(declared) for declared in outcome.calls],
        "tasks": [task(fated) for fated in outcome.tasks],
        "events": {cgroup: dict(delta) for cgroup, delta in outcome.moved.items()},
        "memory_current": {"before": outcome.memory_before, "after": outcome.memory_after},
        "samples": _samples(outcome.samples),
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


def environment(machine: Environment) -> dict[str, Any]:
    """Return the machine, its kernel and its kfunc as plain values."""
    plain = asdict(machine)
    plain["kfunc"] = {
        "signature": plain["kfunc"],
        "provider": plain.pop("kfunc_provider"),
        "variant": plain.pop("kfunc_variant"),
    }
    return plain


def call(declared: CallReport) -> dict[str, Any]:
    """Return one declaration, and all that was found out about it, as plain values."""
    answer = declared.result
    return {
        "step": declared.step,
        "turn": declared.turn,
        "via": declared.call.via,
        "target": declared.call.target,
        "cgroup_id": declared.cgroup_id,
        "order": declared.call.order,
        "flags": declared.call.flags,
        "flag_names": flag_names(declared.call.flags),
        "amount_bytes": declared.call.amount,
        "ret": answer.ret,
        "errno": answer.errno_name,
        "began_ns": answer.began_ns,
        "duration_ns": answer.duration_ns,
        "timed_out": answer.timed_out,
        "attempts": answer.attempts,
        "spared": answer.spared,
        "reclaimed_bytes": answer.reclaimed,
        "caller_pid": answer.caller or None,
        "killed_pids": [kill.pid for kill in declared.kills],
        "collateral": sorted(declared.collateral),
        "gone": sorted(declared.gone),
        "verdict": declared.verdict.name,
        "reason": declared.verdict.reason,
        "evidence": _evidence(declared),
        "timeline": _timeline(declared),
        "prediction": _prediction(declared),
        "pressure": {f"{kind}_us": rise for kind, rise in declared.pressure.items()} or None,
        "log": _log(declared.log),
    }


def _log(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [
        {"sequence": r.sequence, "time_us": r.time_us, "text": printable(r.text)} for r in records
    ]


def _evidence(declared: CallReport) -> dict[str, Any]:
    evidence = declared.evidence
    return {
        "source": evidence.source,
        "no_tracing_reason": evidence.no_tracing_reason or None,
        "seen": sorted(evidence.seen) if evidence.source == EvidenceSource.RING_BUFFER else None,
        "logged": sorted(evidence.logged),
        "agree": evidence.agree,
        "lost": evidence.lost,
        "silent": list(evidence.silent),
    }


def _timeline(declared: CallReport) -> list[dict[str, Any]]:
    stamps = declared.timeline.stamps
    return [
        {
            "name": stamp.name,
            "at_ns": stamp.at_ns,
            "after_call_ns": stamp.at_ns - stamps[0].at_ns,
            "pid": stamp.pid,
        }
        for stamp in stamps
    ]


def _prediction(declared: CallReport) -> dict[str, Any] | None:
    prediction = declared.prediction
    if prediction is None:
        return None
    return {
        "victims": list(prediction.victims),
        "group": prediction.group,
        "totalpages": prediction.totalpages,
        "agrees": declared.as_predicted,
        "close": list(prediction.close),
        "candidates": [candidate_tree(candidate) for candidate in prediction.candidates],
    }


def candidate_tree(candidate: Candidate) -> dict[str, Any]:
    """Return one candidate of a prediction as plain values: sizes in bytes, badness in pages."""
    task = candidate.task
    return {
        "pid": task.pid,
        "comm": task.comm,
        "cgroup": task.cgroup,
        "rss_bytes": task.rss,
        "swap_bytes": task.swap,
        "pgtables_bytes": task.pgtables,
        "oom_score_adj": task.oom_score_adj,
        "badness": candidate.badness,
        "excluded": candidate.excluded or None,
    }


def _samples(samples: Sequence[Sample]) -> dict[str, dict[str, list[int]]]:
    """Return two rows of equal length for each cgroup, ready to be plotted."""
    rows: dict[str, dict[str, list[int]]] = {}
    for sample in samples:
        row = rows.setdefault(sample.cgroup, {"at_ns": [], "bytes": []})
        row["at_ns"].append(sample.at_ns)
        row["bytes"].append(sample.bytes)
    return rows


def task(fated: TaskReport) -> dict[str, Any]:
    """Return one task and what became of it as plain values."""
    seen = fated.task
    return {
        "pid": seen.pid,
        "comm": seen.comm,
        "cgroup": seen.cgroup,
        "name": fated.name,
        "entry": fated.entry,
        "kind": fated.kind,
        "asked_bytes": fated.asked,
        "filled_bytes": fated.filled.bytes if fated.filled else None,
        "fill_ns": fated.filled.took_ns if fated.filled else None,
        "lost_bytes": fated.filled.lost_bytes if fated.filled else None,
        "failed": fated.failed or None,
        "holds": fated.holds.tree() if fated.holds else None,
        "charged_bytes": fated.charged,
        "rss_bytes": seen.rss,
        "swap_bytes": seen.swap,
        "pgtables_bytes": seen.pgtables,
        "oom_score_adj": seen.oom_score_adj,
        "badness": fated.badness,
        "fate": str(fated.fate),
        "signal": fated.fate.signal_name,
        "call": fated.call,
        "phase": fated.phase,
        "died_after_ns": fated.died_after_ns,
        "collateral": fated.collateral,
        "oom_kill": _oom_kill(fated.kill) if fated.kill else None,
    }


def _oom_kill(kill: OomKill) -> dict[str, Any]:
    """Return whose OOM took a task: of which cgroup, and who ran the OOM killer."""
    return {
        "memcg": kill.memcg,
        "constraint": kill.constraint,
        "group": kill.group,
        "invoker_pid": kill.invoker_pid,
        "invoker_comm": kill.invoker_comm,
        "traced": kill.traced,
        "logged": kill.logged,
    }
