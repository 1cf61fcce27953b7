"""One call in words: its target, what was called, what it returned, and what came of it."""

from oomctl.describe.evidence_text import evidence_text
from oomctl.describe.reason_text import reason_rows
from oomctl.describe.trigger_text import trigger_text
from oomctl.oom.as_text import returned, target_name, task_name
from oomctl.oom.enums import KFUNC_VIAS
from oomctl.oom.outcome import CallReport, Outcome
from oomctl.oom.reason import reasons
from oomctl.oom.verdict import meaning
from oomctl.text import counted
from oomctl.units import format_duration


def subject(outcome: Outcome) -> str:
    """Name for a title what an outcome is about."""
    if outcome.calls:
        first = outcome.calls[0]
        return f"OOM on {target_name(first.call.target, first.cgroup_id)}"
    return f"limits of {target_name(outcome.top)}"


def call_rows(report: CallReport) -> list[tuple[str, str]]:
    """Return one call as labels and texts."""
    call, result = report.call, report.result
    rows = [
        ("target", target_name(call.target, report.cgroup_id)),
        ("call", trigger_text(call)),
        ("returned", f"{returned(result.ret)}: {meaning(result, call.via)}"),
        ("took", f"{format_duration(result.duration_ns)} {_timed_part(report)}"),
        ("verdict", f"{report.verdict.name}: {report.verdict.reason}"),
    ]
    if predicted := predicted_text(report):
        rows.append(("predicted", predicted))
    for number, each in enumerate(reasons(report), 1):
        nth = "" if number == 1 else f" {number}"  # labels differ, for forms that need that
        rows += [(f"{label}{nth}", text) for label, text in reason_rows(each)]
    return [*rows, ("evidence", evidence_text(report.evidence))]


def _timed_part(report: CallReport) -> str:
    result = report.result
    if report.call.via not in KFUNC_VIAS:
        return "until the write returned"
    if result.attempts > 1 or result.spared:
        return f"in {counted(result.attempts, 'try', 'tries')} without waiting"
    return "inside the kfunc"


def predicted_text(report: CallReport) -> str | None:
    """Name the tasks that oom_badness() predicts as victims, and say whether they died."""
    prediction = report.prediction
    if prediction is None:
        return None
    comms = {c.task.pid: c.task.comm for c in prediction.candidates}
    names = ", ".join(task_name(comms.get(pid, "?"), pid) for pid in prediction.victims)
    killed = report.victims
    dead = ", ".join(task_name(k.comm, k.pid) for k in report.kills if k.pid in killed)
    if prediction.agrees(killed | report.gone, report.may_repeat):
        actual = "correct"
    elif not killed:
        actual = "no task died"
    elif report.too_close:
        actual = f"too close to call, {dead} died"
    else:
        actual = f"wrong, {dead} died"
    return f"{names or 'no task'}: {actual}"
