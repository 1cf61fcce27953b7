"""Many rounds as one HTML page: how each ended, how long it took, who died, and odd rounds."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from oomctl.oom import from_json
from oomctl.oom.outcome import Outcome
from oomctl.report import html, page, plot
from oomctl.report.distributions import distributions
from oomctl.report.page import escape
from oomctl.report.run_parts import (
    checks_table,
    expected,
    failures,
    rate,
    share,
    side_by_side,
    single,
    title,
)
from oomctl.rounds.drawn import FAILED, SLOWEST
from oomctl.rounds.reader import MALFORMED
from oomctl.rounds.round import BY_THE_KERNEL
from oomctl.rounds.run import Run, RunHeader, Section
from oomctl.rounds.statistics import Statistics
from oomctl.text import counted
from oomctl.units import format_duration

_WINDOW = 20
_MOST_MEDIANS = 4
_MOST_STRIP = 2000

_JUDGED: Mapping[bool | None, tuple[page.Tone, str]] = {
    True: ("good", "passed"),
    False: ("bad", "failed"),
    None: ("warn", "not judged"),
}


def render(sections: Sequence[Section]) -> str:
    """Return the page: a part for each run of the record; of a single round, that of the round."""
    if only := _single_round(sections):
        return html.render(*only)
    names = ", ".join(section.run.header.scenario for section in sections)
    return page.page(f"rounds of {names}", _page(sections))


def _single_round(sections: Sequence[Section]) -> tuple[Outcome, RunHeader] | None:
    if sum(one.rounds for section in sections for one in section.run.statistics) != 1:
        return None
    lines = (json.loads(text) for section in sections for text in section.lines())
    (line,) = (line for line in lines if line["kind"] == "round")
    header = next(s.run.header for s in sections if any(one.rounds for one in s.run.statistics))
    return (_outcome(line, header.environment), header) if line["outcome"] else None


def _page(sections: Sequence[Section]) -> Iterator[str]:
    for section in sections:
        yield from _run(section)


def _run(section: Section) -> Iterator[str]:
    run, statistics = section.run, section.run.statistics
    rounds = [line for line in map(json.loads, section.lines()) if line["kind"] == "round"]
    rounds = [{**line, "id": f"{run.header.scenario}-{n}"} for n, line in enumerate(rounds, 1)]
    tone, word = _JUDGED[run.passed]
    about = f"{run.header.scenario}: {expected(run)}"
    first = _first(rounds, run.header.environment)
    leads = [f"Round {first[0]}. {each}" for each in html.whys(first[1])] if first else []
    yield from page.top(tone, word, about, filter(None, [run.header.description, *leads[:1]]))
    yield page.origin({"time": run.header.started, **run.header.environment})
    chosen = (
        [(f"{name}, round {first[0]}", t) for name, t in html.choice(first[1])] if first else []
    )
    yield page.facts([*_facts(run), *chosen])
    for remark in run.remarks:
        yield f'<p><span class="warn">Note:</span> {escape(remark)}</p>'
    drawn = _drawn(rounds, statistics)
    yield "<h2>Every round</h2>"
    for one in statistics:
        yield from _strip(run, one, [r for r in rounds if r["variant"] == one.variant], drawn)
    if drawn:
        yield '<p class="dim">framed: rounds that are drawn below, as failed or slow</p>'
    yield from page.parts([_failed_lines(statistics)])
    yield "<h2>Tasks that died</h2>"
    yield from _casualties(run, statistics)
    yield "<h2>How long it took</h2>"
    yield from distributions({title(run, one): one.round_times for one in statistics}, statistics)
    yield "<h2>Drift over the rounds</h2>"
    yield _drift(run, rounds, statistics)
    yield from _pictures(run, rounds, drawn)
    yield "<h2>Details</h2>"
    if len(statistics) > 1:
        yield from page.parts(side_by_side(statistics))
    for one in statistics if len(statistics) == 1 else ():
        yield from page.parts([checks_table(one), *single(one)])
    yield page.details(f"scenario file {run.header.scenario}", page.pre(run.header.source))


def _first(
    rounds: Iterable[Mapping[str, Any]], environment: Mapping[str, Any]
) -> tuple[int, Outcome] | None:
    """Return the number and the outcome of the first round that has one, if it is whole."""
    for line in rounds:
        if line["outcome"]:
            with suppress(*MALFORMED):
                return line["round"], _outcome(line, environment)
            return None
    return None


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    yield "rounds", "; ".join(rate(one) for one in run.statistics)
    verdicts: dict[str, int] = {}
    for one in run.statistics:
        for verdict, number in one.verdicts.items():
            verdicts[verdict] = verdicts.get(verdict, 0) + number
    yield "verdicts", ", ".join(f"{name} {number}" for name, number in verdicts.items())
    for name in ("to_killed", "in_the_call"):
        medians = [
            f"{one.variant} {format_duration(one.times[name].p50)}".strip()
            for one in run.statistics[:_MOST_MEDIANS]
            if name in one.times
        ]
        if medians:
            yield f"{name}, median", "; ".join(medians)
    if run.end and run.end.why != "done":
        yield "ended", ": ".join(filter(None, (run.end.why, run.end.reason)))


def _failed_lines(statistics: Iterable[Statistics]) -> Any:
    from oomctl.report.parts import Lines

    return Lines([row for one in statistics for row in failures(one)])


def _ok(line: Mapping[str, Any]) -> bool:
    kept = line["outcome"] or line.get("summary")
    return kept is not None and all(check["passed"] is not False for check in kept["checks"])


def _strip(
    run: Run, one: Statistics, rounds: Sequence[Mapping[str, Any]], drawn: Mapping[str, str]
) -> Iterator[str]:
    """Yield a cell for each round: its colour says whether it was as expected."""
    good = sum(map(_ok, rounds))
    yield f"<p>{escape(title(run, one))}: {good} of {len(rounds)} as expected</p>"
    cells = []
    for line in rounds[:_MOST_STRIP]:
        kind = "pass" if _ok(line) else "fail"
        if line["id"] in drawn:
            about = escape(f"round {line['round']}: {line['verdict']}, {drawn[line['id']]}")
            cells.append(f'<a class="{kind}" href="#{escape(line["id"])}" title="{about}"></a>')
        else:
            cells.append(f'<i class="{kind}"></i>')
    yield f'<div class="strip">{"".join(cells)}</div>'
    if left := len(rounds) - _MOST_STRIP:
        yield f'<p class="dim">and {left} more</p>' if left > 0 else ""


def _drawn(rounds: Sequence[Mapping[str, Any]], statistics: Iterable[Statistics]) -> dict[str, str]:
    """Return the rounds that get a picture, each with the reason for that."""
    found: dict[str, str] = {}
    for one in statistics:
        whole = [r for r in rounds if r["variant"] == one.variant and r["outcome"]]
        for line in [line for line in whole if not _ok(line)][:FAILED]:
            found[line["id"]] = "failed"
        by_time = sorted(whole, key=lambda line: -line["took_ns"])
        for line in by_time[:SLOWEST] if len(whole) > SLOWEST else ():
            found.setdefault(line["id"], f"slow: {format_duration(line['took_ns'])}")
    return found


def _casualties(run: Run, statistics: Sequence[Statistics]) -> Iterator[str]:
    """Yield a bar for each task that did not survive: in how many rounds."""
    rows = []
    for one in statistics:
        rows.append(f'<div class="group"><span class="name">{escape(title(run, one))}</span></div>')
        for casualty, seen in one.casualties.items():
            kind = "fail" if casualty.how in BY_THE_KERNEL else "skip"
            width = 100 * seen.rounds / max(one.ran, 1)
            rows.append(
                f'<div><span class="name">{escape(casualty.text)}</span><span class="end">'
                f'{share(seen.rounds, one.ran)} rounds</span><span class="bar">'
                f'<i class="{kind}" style="width:{width:.1f}%"></i></span></div>'
            )
    yield f'<div class="tree">{"".join(rows)}</div>'


def _drift(run: Run, rounds: Sequence[Mapping[str, Any]], statistics: Sequence[Statistics]) -> str:
    """Draw the time of each round, and the median of the last 20, over the number of the round."""
    colour = plot.colours(title(run, one) for one in statistics)
    curves: list[plot.Curve] = []
    for one in statistics:
        took = [
            (float(r["round"]), float(r["took_ns"])) for r in rounds if r["variant"] == one.variant
        ]
        of = colour[title(run, one)]
        curves.append(plot.Curve(took, of, "dots"))
        medians = [
            (took[at][0], sorted(t for _n, t in took[max(at - _WINDOW + 1, 0) : at + 1]))
            for at in range(0, len(took), max(len(took) // 300, 1))
        ]
        curves.append(plot.Curve([(n, times[len(times) // 2]) for n, times in medians], of))
    numbers = [x for curve in curves for x, _y in curve.points] or [0.0, 1.0]
    longest = max((y for curve in curves for _x, y in curve.points), default=1.0)
    first, last = min(numbers), max(max(numbers), 2.0)
    step = max(round((last - first) / 4), 1)
    return plot.Plot(
        title="time of each round",
        x=plot.Scale(first, last),
        y=plot.Scale(0, longest * 1.06),
        curves=[curve for curve in curves if curve.points],
        x_ticks=[(n, str(n)) for n in range(int(first), int(last) + 1, step)],
        y_ticks=plot.time_ticks(0, longest),
        caption="number of the round; the line is the median of the last 20",
        height=160,
    ).html()


def _pictures(
    run: Run, rounds: Sequence[Mapping[str, Any]], drawn: Mapping[str, str]
) -> Iterator[str]:
    """Yield the rounds that are linked to, each as its own page has it."""
    if not drawn and any("summary" in line for line in rounds):
        yield '<p class="dim">no round can be drawn: the record has summaries</p>'
    if not drawn:
        return
    yield f"<h2>{counted(len(drawn), 'round')} in full</h2>"
    for line in rounds:
        if line["id"] in drawn:
            variant = f"{line['variant']}, " if line["variant"] else ""
            about = f"{variant}round {line['round']}: {line['verdict']}, {drawn[line['id']]}"
            content = f"<p>{escape(line['reason'])}</p>"
            if not line["outcome"].get("samples"):
                content += '<p class="dim">without memory: no samples were recorded</p>'
            try:
                content += "".join(html.body(_outcome(line, run.header.environment)))
            except MALFORMED as error:
                content += f"<p>It cannot be drawn: {escape(repr(error))}</p>"
            yield f'<div id="{escape(line["id"])}">{page.details(about, content)}</div>'


def _outcome(line: Mapping[str, Any], environment: Mapping[str, Any]) -> Outcome:
    return from_json.outcome({"samples": [], **line["outcome"], "environment": environment})
