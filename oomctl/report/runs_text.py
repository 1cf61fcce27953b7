"""Runs of many rounds for people: as text for a terminal, and as Markdown."""

import textwrap
from collections.abc import Iterator, Sequence

from oomctl.describe import sentences
from oomctl.describe.sentences import Table
from oomctl.report import cells, variants
from oomctl.report.markdown import escape
from oomctl.report.parts import Part, as_markdown, as_text
from oomctl.rounds.round import WITHOUT_OUTCOME
from oomctl.rounds.run import Run, Section
from oomctl.rounds.statistics import Statistics
from oomctl.text import counted, printable
from oomctl.units import format_duration

WIDTH = 80
_SHOWN = (cells.share, cells.percent, cells.interval)
_HOW = {"killed": "killed", "collateral": "killed (collateral)", "stranger": "killed (not ours)"}
_NAME = 44  # characters of an expectation beside its numbers


def render_table(sections: Sequence[Section]) -> str:
    """Return the statistics as text; 80 columns where names allow."""
    return "\n".join(as_text(_parts(section.run), WIDTH) for section in sections)


def render_markdown(sections: Sequence[Section]) -> str:
    """Return the statistics as Markdown, a heading for each scenario."""
    return "\n".join(
        f"### {escape(printable(section.run.header.scenario))}\n\n"
        + as_markdown(_parts(section.run))
        for section in sections
    )


def _parts(run: Run) -> Iterator[Part]:
    header = run.header
    about = f"{header.scenario}: {header.description}" if header.description else header.scenario
    lines = [("scenario", printable(about))]
    several = len(run.statistics) > 1
    for one in () if several else run.statistics:
        lines += [("variant", printable(one.variant))] if one.variant else []
        lines.append(("rounds", cells.rate(one)))
    lines += [("expected", _expected(run))]
    if run.end and run.end.why != "done":
        lines.append(("ended", printable(": ".join(filter(None, (run.end.why, run.end.reason))))))
    lines += [("note", remark) for remark in run.remarks]
    lines.append(("machine", sentences.machine(header.environment)))
    yield Part(tuple(lines))
    if several:
        yield from _beside(run.statistics)
    for one in run.statistics:
        if not several:
            yield from _checks(one)
        yield from _missed(one)
        if not several:
            yield from _alone(one)


def _expected(run: Run) -> str:
    judged = [one for one in run.statistics if one.held is not None]
    if not judged:
        return "nothing: this run reports, it does not judge"
    held, rounds = sum(one.held or 0 for one in judged), sum(one.rounds for one in judged)
    return f"held in {held} of {counted(rounds, 'round')}"


def _beside(statistics: Sequence[Statistics]) -> Iterator[Part]:
    """Yield the table, or several where that many columns are too wide for one."""
    columns, legend = variants.headers(statistics)
    if legend:
        yield Part(tuple(legend))
    whole = variants.table(statistics, columns)
    widths = [
        max(len(text) for cell in column for text in cell.split("\n")) + 2
        for column in zip(whole.headers, *whole.rows, strict=True)
    ]
    places: list[int] = []
    for place in range(1, len(whole.headers)):
        if places and widths[0] + sum(widths[each] for each in [*places, place]) - 2 > WIDTH:
            yield Part(table=_columns(whole, places))
            places = []
        places.append(place)
    yield Part(table=_columns(whole, places))


def _columns(whole: Table, places: Sequence[int]) -> Table:
    chosen = [0, *places]
    headers = [whole.headers[place] for place in chosen]
    rows = [[row[place] for place in chosen] for row in whole.rows]
    return Table(headers, rows, whole.numbers)


def _checks(one: Statistics) -> Iterator[Part]:
    if not one.checks:
        return
    headers = ["expected", "held", "not", "untested"]
    rows = [
        [
            textwrap.fill(printable(check.name), _NAME),
            cells.share(check.held, one.rounds),
            str(check.failed),
            str(one.rounds - check.held - check.failed),
        ]
        for check in one.checks
    ]
    yield Part(table=Table(headers, rows, frozenset(headers[1:])))


def _missed(one: Statistics) -> Iterator[Part]:
    """Say what did not hold where first, and why rounds have no outcome."""
    of = f"{one.variant}: " if one.variant else ""
    lines = [
        (f"round {check.first}", f"{of}not held: {check.name}; {check.why}")
        for check in one.checks
        if check.failed
    ]
    lines += [
        (verdict, f"{of}{one.reasons[verdict]}")
        for verdict in one.verdicts
        if verdict in WITHOUT_OUTCOME
    ]
    if lines:
        yield Part(tuple((label, printable(text)) for label, text in lines))


def _alone(one: Statistics) -> Iterator[Part]:
    yield Part(table=_verdicts(one))
    if one.returns:
        headers = ["returned", "calls", "share", "rounds"]
        rows = [
            [
                printable(value),
                cells.share(occurrences.times, one.calls),
                cells.percent(occurrences.times, one.calls),
                cells.share(occurrences.rounds, one.ran),
            ]
            for value, occurrences in one.returns.items()
        ]
        yield Part(table=Table(headers, rows, frozenset(headers[1:])))
    if one.casualties:
        headers = ["who", "fate", "tasks", "rounds"]
        rows = [
            [
                printable(casualty.name),
                printable(_HOW.get(casualty.how, casualty.how)),
                str(occurrences.times),
                cells.share(occurrences.rounds, one.ran),
            ]
            for casualty, occurrences in one.casualties.items()
        ]
        yield Part(table=Table(headers, rows, frozenset(headers[2:])))
    if one.contention:
        headers = ["callers at once", "EBUSY", "share", "95 % interval"]
        rows = [
            [kind, *(show(part.count, part.of) for show in _SHOWN)]
            for kind, part in one.contention.items()
        ]
        yield Part(table=Table(headers, rows, frozenset(headers[1:])))
    if one.times:
        headers = ["time", "n", "p50", "p95", "p99", "max"]
        rows = [
            [
                name,
                str(found.n),
                *map(format_duration, (found.p50, found.p95, found.p99, found.max)),
            ]
            for name, found in one.times.items()
        ]
        yield Part(table=Table(headers, rows, frozenset(headers[1:])))
    if one.rises:
        headers = ["memory.events", *map(printable, one.rises)]
        rows = [
            ["in all", *(f"{rise:+d}" if rise else "0" for rise in one.rises.values())],
            ["a round", *(cells.a_round(rise, one.ran) for rise in one.rises.values())],
        ]
        yield Part(table=Table(headers, rows, frozenset(headers[1:])))
    yield Part(tuple(_rest(one)))


def _verdicts(one: Statistics) -> Table:
    headers = ["verdict", "rounds", "95 % interval", "calls"]
    rows = [
        [
            printable(verdict),
            cells.share(one.verdicts.get(verdict, 0), one.rounds),
            cells.interval(one.verdicts[verdict], one.rounds) if verdict in one.verdicts else "-",
            cells.share(one.call_verdicts[verdict].times, one.calls)
            if verdict in one.call_verdicts
            else "-",
        ]
        for verdict in dict.fromkeys([*one.verdicts, *one.call_verdicts])
    ]
    return Table(headers, rows, frozenset(headers[1:]))


def _rest(one: Statistics) -> Iterator[tuple[str, str]]:
    rechecks = one.rechecks
    if rechecks.callers:
        yield (
            "recheck",
            f"{rechecks.spared} of {counted(rechecks.callers, 'caller')} found the memory freed; "
            f"with plain waiting each would have been let in. {rechecks.busy} of "
            f"{counted(rechecks.tries, 'try', 'tries')} met a held lock",
        )
    if one.calls:
        log = one.log_bytes
        yield (
            "kernel log",
            f"{one.log_bytes_in_all / one.calls:.0f} bytes a declaration; a round p50 "
            f"{_text(log.p50)}, p95 {_text(log.p95)}, max {_text(log.max)}",
        )
    if one.dying:
        yield "dying", f"{cells.first_and_last(one.dying)} cgroups (nr_dying_descendants)"
    if one.own_rss:
        yield "own memory", f"{cells.first_and_last(one.own_rss, size=True)} of RSS"


def _text(number: int | None) -> str:
    return "-" if number is None else str(number)
