"""An outcome as one HTML page: what happened and why, the tree, memory over time, the evidence."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from oomctl.describe.call_text import predicted_text, subject, trigger_text
from oomctl.describe.evidence_text import counts_text, evidence_text, outcome_notes
from oomctl.describe.reason_text import margin_text
from oomctl.describe.task_text import fate_text
from oomctl.oom import as_json
from oomctl.oom.as_text import returned, target_name, task_name
from oomctl.oom.enums import FateKind, Moment
from oomctl.oom.outcome import CallReport, Outcome, TaskReport
from oomctl.oom.paths import is_within, relative
from oomctl.oom.prediction import Prediction
from oomctl.oom.reason import reasons
from oomctl.oom.task import limit_pages
from oomctl.oom.verdict import Verdict, meaning
from oomctl.oom.why import why
from oomctl.report import page, plot
from oomctl.report.bars import CHOSEN, BarGroup, BarRow, tree
from oomctl.report.outcome_parts import call_table, checks_table, events_table, task_table
from oomctl.report.page import escape
from oomctl.text import counted
from oomctl.units import format_duration, format_size

_BEFORE_NS, _AFTER = 50_000_000, 0.08  # before the call, and the share of the axis after the last
_BACK = 0.02  # of the fall: memory is back where it is this close to its last value
_MOST_CALLS = 8  # calls that are drawn; all of them are in the table
_MOST_LINES, _MOST_NAMES, _MOST_NAMED = 16, 2, 3
_KILLING = (Moment.KILLED, Moment.EXITED, Moment.MARKED)


def render(outcome: Outcome) -> str:
    """Return the page."""
    title = f"{outcome.verdict.name}: {subject(outcome)}"
    return page.page(title, _page(outcome))


def _page(outcome: Outcome) -> Iterator[str]:
    verdict = outcome.verdict
    failed = any(check.passed is False for check in outcome.checks)
    colour = "bad" if failed else tone(verdict)
    yield from page.top(colour, verdict.name, verdict.reason, _lead(outcome))
    yield page.origin(as_json.environment(outcome.environment))
    yield page.facts(_facts(outcome))
    yield from body(outcome)


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
        found = reasons(report)
        if found and found[0].margin is not None:
            yield "how close", f"{margin_text(found[0].margin, found[0].page_size)} the next"
        if report.prediction:
            yield "limit", _limit_text(report.prediction, report.call.target, outcome.top)
        took = format_duration(report.result.duration_ns)
        yield "returned", f"{returned(report.result.ret)} after {took}"
    if outcome.memory_before is not None:
        before, after = format_size(outcome.memory_before), format_size(outcome.memory_after)
        yield "memory.current", f"{before} before, {after} after"
    if outcome.checks:
        held = sum(check.passed is True for check in outcome.checks)
        yield "expectations", f"{held} of {len(outcome.checks)} held"


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
    weight = prediction.totalpages // 1000 * prediction.page_size if prediction and limit else 0
    yield tree([*_groups(outcome, weight)], limit, named, CHOSEN)


def _groups(outcome: Outcome, weight: int) -> Iterator[BarGroup]:
    target = {one.call.target for one in outcome.calls}
    by_cgroup: dict[str, list[TaskReport]] = {}
    if outcome.top is not None:
        by_cgroup[outcome.top] = []
    for each in sorted(outcome.tasks, key=lambda one: one.task.cgroup):
        by_cgroup.setdefault(each.task.cgroup, []).append(each)
    for cgroup, reports in by_cgroup.items():
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
    yield from _chart(outcome, report)
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
        lines = "\n".join(map(escape, log.split("\n")))
        yield page.details(summary, f"<pre>{lines}</pre>")


def _chart(outcome: Outcome, report: CallReport) -> Iterator[str]:
    """Draw memory from 50 ms before the call until it is back, with the moments below."""
    began, stamps = report.result.began_ns, report.timeline.stamps
    lines: dict[str, list[tuple[float, float]]] = {}
    for sample in outcome.samples:
        lines.setdefault(sample.cgroup, []).append((sample.at_ns - began, sample.bytes))
    if len(stamps) < 2 and not lines:
        return
    last = max([stamp.at_ns - began for stamp in stamps] + [report.result.duration_ns or 0])
    if outcome.top in lines:
        last = round(max(last, _back(lines[outcome.top], last)))
    start, end = float(-_BEFORE_NS), last + (last + _BEFORE_NS) * _AFTER
    shown = {name: points for name, points in _clipped(lines, start, end) if points}
    highest = max((size for points in shown.values() for _at, size in points), default=0)
    x, y = plot.Scale(start, end), plot.Scale(0, highest * 1.06 or 1)
    named = {name: relative(name, outcome.top) for name in [*shown][:_MOST_LINES]}
    labels = {".": f". ({outcome.top})"}
    colour = plot.colours(named.values())
    if named:
        yield page.key(
            page.Swatch(f"line c{colour[each]}", labels.get(each, each)) for each in named.values()
        )
        if left := len(shown) - len(named):
            yield f'<p class="dim">{counted(left, "more cgroup")} sampled, not drawn</p>'
    yield plot.Plot(
        title="memory.current of each cgroup over time",
        x=x,
        y=y,
        curves=[*_apart(shown, named, colour)],
        x_ticks=plot.time_ticks(start, end),
        y_ticks=plot.size_ticks(highest) if named else (),
        verticals=[*_verticals(report)],
        caption="time after the call",
        height=plot.HEIGHT if named else 1,
        rows=[*_moments(outcome, report)],
    ).html()


def _back(points: Sequence[tuple[float, float]], since: float) -> float:
    """Return when memory is back: from then on it stays close to its last value."""
    low, high = points[-1][1], max(size for _at, size in points)
    near = low + (high - low) * _BACK
    back = points[-1][0]
    for at, size in reversed(points):
        if size > near:
            break
        back = at
    return max(back, since)


def _clipped(
    lines: dict[str, list[tuple[float, float]]], start: float, end: float
) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield each line from edge to edge; what crosses an edge is interpolated there."""
    for name, points in lines.items():
        found = []
        for (at, size), (then, later) in zip(points, [*points[1:], points[-1]], strict=True):
            if start <= at <= end:
                found.append((at, size))
            for edge in (start, end):
                if at < edge < then:
                    found.append((edge, size + (later - size) * (edge - at) / (then - at)))
        yield name, found


def _apart(
    shown: dict[str, list[tuple[float, float]]], named: dict[str, str], colour: dict[str, int]
) -> Iterator[plot.Curve]:
    """Yield a curve for each cgroup; of lines that are about equal each is drawn 3 px higher."""
    seen: dict[tuple[int, ...], int] = {}
    top = max((size for points in shown.values() for _at, size in points), default=1) or 1
    for name, label in named.items():
        points = shown[name]
        few = [points[round(n * (len(points) - 1) / 8)][1] for n in range(9)]
        shape = tuple(round(60 * size / top) for size in few)
        seen[shape] = seen.get(shape, -1) + 1
        yield plot.Curve(points, colour[label], shift=3.0 * seen[shape])


def _verticals(report: CallReport) -> Iterator[tuple[float, str, str]]:
    yield 0.0, "mark", "call"
    for stamp in report.timeline.stamps:
        if stamp.name == Moment.EXITED:
            yield stamp.at_ns - report.timeline.stamps[0].at_ns, "death", f"exited {stamp.pid}"


def _moments(outcome: Outcome, report: CallReport) -> Iterator[plot.Moments]:
    """Yield a row for each kind of moment, with the tasks that it concerns."""
    stamps = report.timeline.stamps
    comms = {each.task.pid: each.task.comm for each in outcome.tasks}
    comms |= {kill.pid: kill.comm for kill in report.kills}
    comms.pop(report.result.caller, None)
    for name in dict.fromkeys(stamp.name for stamp in stamps):
        of = [stamp for stamp in stamps if stamp.name == name]
        at = [float(stamp.at_ns - stamps[0].at_ns) for stamp in of]
        dead = [comms.get(stamp.pid, str(stamp.pid)) for stamp in of if stamp.pid in comms]
        who = ", ".join(dead) if len(dead) <= _MOST_NAMES else counted(len(dead), "task")
        text = plot.duration_text(min(at), max(at)) if any(at) else "0"
        yield plot.Moments(name, at, " ".join(filter(None, (text, who))), name in _KILLING)


def _details(outcome: Outcome) -> Iterator[str]:
    yield "<h2>Details</h2>"
    if outcome.checks:
        words = {"yes": "good", "NO": "bad", "untested": "warn"}
        yield page.table(checks_table(outcome), words)
    yield page.details(
        counted(len(outcome.tasks), "task") + " with sizes as they were planned and charged",
        page.table(task_table(outcome)),
    )
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
