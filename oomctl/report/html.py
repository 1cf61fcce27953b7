"""An outcome as one HTML page: what happened and why, the tree, memory over time, the evidence."""

from collections.abc import Iterator
from dataclasses import replace

from oomctl.describe.call_text import predicted_text, subject
from oomctl.describe.evidence_text import counts_text, evidence_text, outcome_notes
from oomctl.describe.reason_text import margin_text
from oomctl.describe.task_text import fate_text
from oomctl.describe.trigger_text import trigger_text
from oomctl.oom import as_json
from oomctl.oom.as_text import returned, target_name, task_name
from oomctl.oom.enums import FateKind
from oomctl.oom.outcome import CallReport, Outcome, TaskReport
from oomctl.oom.paths import is_within, relative
from oomctl.oom.prediction import Prediction
from oomctl.oom.reason import reasons
from oomctl.oom.task import limit_pages
from oomctl.oom.verdict import Verdict, meaning
from oomctl.oom.why import rival_name, why
from oomctl.report import page
from oomctl.report.bars import CHOSEN, CHOSEN_IN_TARGET, BarGroup, BarRow, tree
from oomctl.report.memory_plot import memory_plot
from oomctl.report.outcome_parts import (
    action_table,
    call_table,
    checks_table,
    events_table,
    task_table,
)
from oomctl.report.page import escape
from oomctl.rounds.run import RunHeader
from oomctl.text import counted
from oomctl.units import format_duration, format_size

_MOST_CALLS = 8  # calls that are drawn; all of them are in the table
_MOST_NAMED = 3


def render(outcome: Outcome, header: RunHeader | None = None) -> str:
    """Return the page; `header` is that of the run, if it is a round of a scenario."""
    title = f"{outcome.verdict.name}: {header.scenario if header else subject(outcome)}"
    return page.page(title, _page(outcome, header))


def _page(outcome: Outcome, header: RunHeader | None) -> Iterator[str]:
    verdict = outcome.verdict
    colour: page.Tone = "good" if outcome.as_wanted else "bad"
    yield from page.top(colour, verdict.name, verdict.reason, _lead(outcome))
    if header:
        yield page.scenario(header.scenario, header.description)
    yield page.origin(as_json.environment(outcome.environment))
    yield page.facts(_facts(outcome))
    yield from body(outcome)
    if header:
        yield page.details(f"scenario file {header.scenario}", page.pre(header.source))


def body(outcome: Outcome) -> Iterator[str]:
    """Yield all but the heading: notes, the tree, each call, details."""
    if notes := [*outcome_notes(outcome)]:
        yield "".join(f'<p><span class="warn">Note:</span> {escape(note)}</p>' for note in notes)
    yield from _tree(outcome)
    several = len(outcome.calls) > 1
    if several:
        yield "<h2>Calls</h2>"
        yield page.table(call_table(outcome))
    for index, report in enumerate(outcome.calls[:_MOST_CALLS]):
        yield from _call(outcome, report, index, several)
    yield from _details(outcome)


def tone(verdict: Verdict) -> page.Tone:
    """Return the colour of a verdict."""
    return "good" if verdict.as_wanted else "bad"


def _lead(outcome: Outcome) -> Iterator[str]:
    """Yield what was not as expected, and why each task of the deciding call was chosen."""
    for check in [check for check in outcome.checks if check.passed is False][:_MOST_NAMED]:
        yield f"Not as expected: {check.name}; {check.why}"
    yield from whys(outcome)


def whys(outcome: Outcome) -> Iterator[str]:
    """Yield why each task of the deciding call was chosen."""
    if report := _deciding(outcome):
        for each in reasons(report):
            yield f"Why {why(each)}"


def _deciding(outcome: Outcome) -> CallReport | None:
    return next((one for one in outcome.calls if one.verdict == outcome.verdict), None)


def _facts(outcome: Outcome) -> Iterator[tuple[str, str]]:
    if outcome.tasks:
        dead = [each.task.comm for each in outcome.tasks if each.fate.kind == FateKind.OOM_KILLED]
        names = f": {', '.join(dead)}" if 0 < len(dead) <= _MOST_NAMED else ""
        yield "killed", f"{len(dead)} of {counted(len(outcome.tasks), 'task')}{names}"
    if report := _deciding(outcome):
        yield from choice(outcome)
        if not report.victims and not reasons(report):
            yield "call", trigger_text(report.call)
        took = format_duration(report.result.duration_ns)
        yield "returned", f"{returned(report.result.ret)} after {took}"
    if outcome.memory_before is not None:
        before, after = format_size(outcome.memory_before), format_size(outcome.memory_after)
        yield "memory.current", f"{before} before, {after} after"
    if outcome.checks:
        held = sum(check.passed is True for check in outcome.checks)
        yield "expectations", f"{held} of {len(outcome.checks)} held"


def choice(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Yield how close the choice of the deciding call was, and whose limit counted."""
    if report := _deciding(outcome):
        found = reasons(report)
        if found and found[0].margin is not None:
            margin = margin_text(found[0].margin, found[0].page_size)
            yield "how close", f"{margin} {rival_name(found[0])}"
        if report.prediction:
            yield "limit", _limit_text(report.prediction, report.call.target, outcome.top)


def _limit(prediction: Prediction) -> int | None:
    """Return the limit that badness is scaled by, in bytes; None without one."""
    if prediction.totalpages >= limit_pages(None, prediction.page_size):
        return None
    return prediction.totalpages * prediction.page_size


def _limit_text(prediction: Prediction, target: str | None, top: str | None) -> str:
    limit = _limit(prediction)
    if target is None:
        return f"RAM and swap, {format_size(limit)}"
    name = "the target" if target == top else relative(target, top)
    return f"{name} has none" if limit is None else f"{format_size(limit)} of {name}"


def _tree(outcome: Outcome) -> Iterator[str]:
    if not outcome.tasks and outcome.top is None:
        return
    yield "<h2>Tasks just before the call</h2>"
    prediction = next((one.prediction for one in outcome.calls if one.prediction), None)
    limit = _limit(prediction) if prediction else None
    target = outcome.calls[0].call.target if outcome.calls else None
    named = _limit_text(prediction, target, outcome.top) if prediction and limit else ""
    weight = prediction.totalpages // 1000 * prediction.page_size if prediction else 0
    about = CHOSEN if target in (None, outcome.top) else CHOSEN_IN_TARGET
    yield tree([*_groups(outcome, weight)], limit, named, about)


def _groups(outcome: Outcome, weight: int) -> Iterator[BarGroup]:
    target = {one.call.target for one in outcome.calls}
    by_cgroup: dict[str, list[TaskReport]] = {}
    for cgroup in {outcome.top, *target}:
        if cgroup is not None and outcome.top is not None:
            by_cgroup[cgroup] = []
    for each in outcome.tasks:
        by_cgroup.setdefault(each.task.cgroup, []).append(each)
    for cgroup, reports in sorted(by_cgroup.items()):
        note = "target" if cgroup in target else ""
        within = outcome.top is not None and is_within(cgroup, outcome.top)
        depth = relative(cgroup, outcome.top).count("/") if within else 0
        name = cgroup if cgroup == outcome.top else relative(cgroup, outcome.top)
        rows = [_bar(outcome, each, weight) for each in reports]
        yield BarGroup(name, rows, note, depth)


def _bar(outcome: Outcome, report: TaskReport, weight: int) -> BarRow:
    task = report.task
    adj = f", adj {task.oom_score_adj}" if task.oom_score_adj else ""
    return BarRow(
        f"{task_name(task.comm, task.pid)}{adj}",
        task.rss,
        task.swap,
        task.pgtables,
        task.oom_score_adj * weight,
        f"{format_size(task.footprint)}, {fate_text(report, outcome.top)}",
        report.fate.kind in (FateKind.OOM_KILLED, FateKind.CGROUP_KILLED),
    )


def _call(outcome: Outcome, report: CallReport, index: int, several: bool) -> Iterator[str]:
    if several:
        badge = f'<span class="badge {tone(report.verdict)}">{escape(report.verdict.name)}</span>'
        yield f"<h2>Call {index + 1} of {len(outcome.calls)} {badge}</h2>"
        yield f"<p>{escape(report.verdict.reason)}</p>"
    else:
        drawn = report.timeline.stamps or outcome.samples
        yield f"<h2>{'Memory over time, and the moments of the call' if drawn else 'The call'}</h2>"
    yield from memory_plot(outcome, report)
    rows = [
        ("target", target_name(report.call.target, report.cgroup_id)),
        ("call", trigger_text(report.call)),
        ("means", meaning(report.result, report.call.via)),
    ]
    if predicted := predicted_text(report):
        rows.append(("predicted", predicted))
    rows.append(("evidence", evidence_text(report.evidence)))
    if report.pressure:
        rises = (f"{kind} {format_duration(us * 1000)}" for kind, us in report.pressure.items())
        rows.append(("pressure", ", ".join(rises)))
    yield page.rows(rows)
    if report.log:
        log = "\n".join(f"[{one.time_us / 1e6:12.6f}] {one.text}" for one in report.log)
        summary = f"kernel log, {counted(len(report.log), 'record')} during the call"
        yield page.details(summary, page.pre(log))


def _details(outcome: Outcome) -> Iterator[str]:
    yield "<h2>Details</h2>"
    if outcome.checks:
        words = {"yes": "good", "NO": "bad", "untested": "warn"}
        yield page.table(checks_table(outcome), words)
    yield page.details(
        counted(len(outcome.tasks), "task") + " with sizes as they were planned and charged",
        page.table(task_table(outcome)),
    )
    if outcome.actions:
        yield page.table(action_table(outcome))
    if (events := events_table(outcome)).rows:
        yield page.table(replace(events, headers=["rise of memory.events", *events.headers[1:]]))
    if outcome.counts:
        yield page.rows([("kills", counts_text(outcome.counts))])
    environment = outcome.environment
    swap = f"{format_size(environment.swap)} swap" if environment.swap else "no swap"
    sysctls = [f"{name} {value}" for name, value in environment.sysctls.items() if value]
    machine = f"{environment.machine}, {counted(environment.cpus, 'CPU')}"
    memory = f"{format_size(environment.memory)} RAM, {swap}"
    yield page.rows([("machine", "; ".join([machine, memory, *sysctls]))])
