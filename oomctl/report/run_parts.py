"""Runs of many rounds as parts, for text and for Markdown: statistics of one variant, or of several
side by side.
"""

from collections.abc import Iterable, Iterator, Sequence

from oomctl.describe.machine_text import machine_line
from oomctl.report.parts import Heading, Lines, Part, Table, as_markdown, as_text
from oomctl.rounds.round import TIMES, WITHOUT_OUTCOME
from oomctl.rounds.run import Run, Section
from oomctl.rounds.statistics import NEVER, Statistics, wilson
from oomctl.text import counted, printable
from oomctl.units import format_duration, format_size

_FATES = {"killed": "killed", "collateral": "killed (collateral)", "stranger": "killed (not ours)"}
_LONGEST = 18  # characters of a label that becomes a header; longer ones get a letter
_COUNTERS = ("max", "oom", "oom_kill")  # have a row even if they did not rise


def render_text(sections: Sequence[Section], terminal: int | None = None) -> str:
    """Return the statistics as text, 80 columns wide if names allow, or as the terminal is."""
    return "\n".join(as_text(_parts(section.run), terminal=terminal) for section in sections)


def render_markdown(sections: Sequence[Section]) -> str:
    """Return the statistics as Markdown."""
    return "\n".join(as_markdown(_parts(section.run)) for section in sections)


def share(count: int, of: int) -> str:
    """Write a share as `3/5`."""
    return f"{count}/{of}" if of else "-"


def percent(count: int, of: int) -> str:
    """Write a share in percent; 0.0 % means none, and 100.0 % means all."""
    if not of:
        return "-"
    value = 100 * count / of
    if 0 < count < of:
        value = min(max(value, 0.1), 99.9)
    return f"{value:.1f} %"


def per_round(rise: int, rounds: int) -> str:
    """Write the rise of a counter per round: exactly, or to two decimals."""
    if not rounds or not rise:
        return "0"
    return f"{rise // rounds:+d}" if rise % rounds == 0 else f"{rise / rounds:+.2f}"


def rate(one: Statistics) -> str:
    """Write the number of rounds, and how long they took."""
    if one.rate is None:
        return f"{one.rounds}"
    return f"{one.rounds} in {format_duration(one.took_ns)}, {one.rate:.3g} per second"


def title(run: Run, one: Statistics) -> str:
    """Name a variant of a scenario."""
    return f"{run.header.scenario}: {one.variant}" if one.variant else run.header.scenario


def _interval(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"{100 * low:.1f} to {100 * high:.1f} %" if of else "-"


def _first_and_last(span: tuple[int, int] | None) -> str | None:
    return f"{span[0]} -> {span[1]}" if span else None


def _parts(run: Run) -> Iterator[Part]:
    header, statistics = run.header, run.statistics
    several = len(statistics) > 1
    yield Heading(header.scenario, only_markdown=True)
    lines = [("scenario", ": ".join(filter(None, (header.scenario, header.description))))]
    if not several:
        lines += [("variant", one.variant) for one in statistics if one.variant]
        lines += [("rounds", rate(one)) for one in statistics]
    lines.append(("expected", expected(run)))
    if run.end and run.end.why != "done":
        lines.append(("ended", ": ".join(filter(None, (run.end.why, run.end.reason)))))
    lines += [("note", remark) for remark in run.remarks]
    yield Lines([*lines, ("machine", machine_line(header.environment))])
    if several:
        yield from side_by_side(statistics)
    for one in statistics:
        if not several:
            yield checks_table(one)
        yield Lines([*failures(one)])
        if not several:
            yield from single(one)


def expected(run: Run) -> str:
    """Say in how many rounds what was expected held."""
    judged = [one for one in run.statistics if one.held is not None]
    if not judged:
        return "nothing: this run reports, it does not judge"
    held, rounds = sum(one.held or 0 for one in judged), sum(one.rounds for one in judged)
    return f"held in {held} of {counted(rounds, 'round')}"


def failures(one: Statistics) -> Iterator[tuple[str, str]]:
    """Yield the first failure of each expectation, and why rounds have no outcome."""
    of = f"{one.variant}: " if one.variant else ""
    for check in one.checks:
        if check.failed:
            yield f"round {check.first}", f"{of}failed: {check.name}; {check.why}"
    for verdict in one.verdicts:
        if verdict in WITHOUT_OUTCOME:
            yield verdict, f"{of}{one.reasons[verdict]}"


def side_by_side(statistics: Sequence[Statistics]) -> Iterator[Part]:
    """Yield a table with a column for each variant; long labels are in a legend before it."""
    labels = [printable(one.variant) or "-" for one in statistics]
    headers = labels
    if max(map(len, labels)) > _LONGEST:
        headers = [letter(number) for number in range(len(labels))]
        yield Lines([*zip(headers, labels, strict=True)])
    rows = [
        [label, *(cell or "-" for cell in cells)]
        for label, cells in _compared_rows(statistics)
        if any(cells)
    ]
    yield Table(["", *headers], rows, numbers=headers, prose={"": 40}, folds=True)


def letter(number: int) -> str:
    """Return A to Z, then AA, AB and so on."""
    above, place = divmod(number, 26)
    return (letter(above - 1) if above else "") + chr(ord("A") + place)


def _compared_rows(statistics: Sequence[Statistics]) -> Iterator[tuple[str, list[str | None]]]:
    """Yield a label and a cell for each variant; a cell is None if there is nothing to show."""
    yield "rounds", [str(one.rounds) for one in statistics]
    yield (
        "as expected",
        [None if one.held is None else share(one.held, one.rounds) for one in statistics],
    )
    checks = [{check.name: check.held for check in one.checks} for one in statistics]
    for name in _union(checks):
        yield (
            f"held: {name}",
            [
                share(held[name], one.rounds) if name in held else None
                for held, one in zip(checks, statistics, strict=True)
            ],
        )
    for verdict in _union(one.verdicts for one in statistics):
        yield (
            f"verdict {verdict}",
            [share(one.verdicts.get(verdict, 0), one.rounds) for one in statistics],
        )
    for casualty in dict.fromkeys(each for one in statistics for each in one.casualties):
        yield (
            casualty.text,
            [share(one.casualties.get(casualty, NEVER).rounds, one.ran) for one in statistics],
        )
    for value in _union(one.returns for one in statistics):
        yield (
            f"returned {value}",
            [share(one.returns.get(value, NEVER).times, one.calls) for one in statistics],
        )
    for kind in _union(one.contention for one in statistics):
        found = [one.contention.get(kind) for one in statistics]
        yield f"EBUSY, {kind}", [share(each.count, each.of) if each else None for each in found]
    rechecks = [one.rechecks for one in statistics]
    yield (
        "spared by recheck",
        [share(each.spared, each.callers) if each.callers else None for each in rechecks],
    )
    for name in TIMES:
        times = [one.times.get(name) for one in statistics]
        yield f"{name}, p50", [format_duration(each.p50) if each else None for each in times]
    for counter in dict.fromkeys([*_COUNTERS, *_union(one.rises for one in statistics)]):
        if counter in _COUNTERS or any(one.rises.get(counter) for one in statistics):
            rises = [(one.rises.get(counter), one.ran) for one in statistics]
            yield f"{counter} per round", [None if r is None else per_round(r, n) for r, n in rises]
    logs = [one.log_bytes for one in statistics]
    yield "log bytes, p50", [str(log.p50) if log.max else None for log in logs]
    yield (
        "dying cgroups",
        [_first_and_last(one.dying) for one in statistics],
    )


def _union(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def checks_table(one: Statistics) -> Table:
    """Return the expectations of a variant, and how often each held."""
    headers = ["expected", "held", "failed", "untested"]
    rows = [
        [
            check.name,
            share(check.held, one.rounds),
            str(check.failed),
            str(one.rounds - check.held - check.failed),
        ]
        for check in one.checks
    ]
    return Table(headers, rows, numbers=headers[1:], prose={"expected": 44})


def single(one: Statistics) -> Iterator[Part]:
    """Yield the statistics of the only variant."""
    yield _verdicts(one)
    yield _number_table(
        ["returned", "calls", "share", "rounds"],
        [
            [
                value,
                share(seen.times, one.calls),
                percent(seen.times, one.calls),
                share(seen.rounds, one.ran),
            ]
            for value, seen in one.returns.items()
        ],
    )
    yield _number_table(
        ["task", "fate", "tasks", "rounds"],
        [
            [
                casualty.name,
                _FATES.get(casualty.how, casualty.how),
                str(seen.times),
                share(seen.rounds, one.ran),
            ]
            for casualty, seen in one.casualties.items()
        ],
        texts=2,
    )
    yield _number_table(
        ["callers at once", "EBUSY", "share", "95 % interval"],
        [
            [kind, *(write(busy.count, busy.of) for write in (share, percent, _interval))]
            for kind, busy in one.contention.items()
        ],
    )
    yield _number_table(
        ["time", "n", "p50", "p95", "p99", "max"],
        [
            [name, str(of.n), *map(format_duration, (of.p50, of.p95, of.p99, of.max))]
            for name, of in one.times.items()
        ],
    )
    if one.rises:
        rises = one.rises.values()
        yield _number_table(
            ["memory.events", *one.rises],
            [
                ["total", *(f"{rise:+d}" if rise else "0" for rise in rises)],
                ["per round", *(per_round(rise, one.ran) for rise in rises)],
            ],
        )
    yield Lines([*_last_lines(one)])


def _number_table(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> Table:
    """Return a table whose columns are numbers, except for the first ones."""
    return Table(headers, rows, numbers=headers[texts:])


def _verdicts(one: Statistics) -> Table:
    rows = []
    for verdict in dict.fromkeys([*one.verdicts, *one.call_verdicts]):
        rounds, calls = one.verdicts.get(verdict, 0), one.call_verdicts.get(verdict)
        rows.append(
            [
                verdict,
                share(rounds, one.rounds),
                _interval(rounds, one.rounds) if rounds else "-",
                share(calls.times, one.calls) if calls else "-",
            ]
        )
    return _number_table(["verdict", "rounds", "95 % interval", "calls"], rows)


def _last_lines(one: Statistics) -> Iterator[tuple[str, str]]:
    rechecks, log = one.rechecks, one.log_bytes
    if rechecks.callers:
        yield (
            "recheck",
            f"{rechecks.spared} of {counted(rechecks.callers, 'caller')} found the memory freed; "
            f"with plain waiting each would have run the OOM killer. {rechecks.busy} of "
            f"{counted(rechecks.tries, 'try', 'tries')} found oom_lock held",
        )
    if one.calls:
        p50, p95, most = ("-" if n is None else n for n in (log.p50, log.p95, log.max))
        yield (
            "log",
            f"{one.log_bytes_in_all / one.calls:.0f} bytes per call; per round p50 {p50}, p95 "
            f"{p95}, max {most}",
        )
    if one.dying:
        yield "dying", f"{_first_and_last(one.dying)} cgroups (nr_dying_descendants)"
    if one.own_rss:
        yield "own RSS", " -> ".join(map(format_size, one.own_rss))
