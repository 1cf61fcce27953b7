"""Two records compared, as parts for text (72 columns, for a mail) and for Markdown."""

from collections.abc import Iterator

from oomctl.describe.machine_text import machine_line
from oomctl.report.parts import Heading, Lines, Part, Table, as_markdown, as_text
from oomctl.report.run_parts import per_round, percent, share
from oomctl.rounds.comparison import ALPHA, Comparison, Difference, Pair, TimeChange
from oomctl.rounds.statistics import Distribution
from oomctl.text import counted
from oomctl.units import format_duration

_WIDTH = 72


def render_text(comparison: Comparison, names: tuple[str, str], terminal: int | None = None) -> str:
    """Return the comparison as text, changes first; `names` are those of the two records."""
    return as_text(_parts(comparison, names), _WIDTH, terminal)


def render_markdown(comparison: Comparison, names: tuple[str, str]) -> str:
    """Return the comparison as Markdown."""
    return as_markdown(_parts(comparison, names))


def ratio(a: int | None, b: int | None) -> float | None:
    """Return b / a if both are known."""
    return b / a if a and b is not None else None


def _parts(comparison: Comparison, names: tuple[str, str]) -> Iterator[Part]:
    lines = [
        (letter, f"{name}: {machine_line(environment)}")
        for letter, name, environment in zip("AB", names, comparison.environments, strict=True)
    ]
    lines += [("option", f"{name}: {a} -> {b}") for name, a, b in comparison.options]
    lines += [("differs", f"{name}: {a} -> {b}") for name, a, b in comparison.machines]
    yield Lines(lines)
    yield Lines([*summary(comparison)])
    for pair in comparison.pairs:
        yield Heading(f"{pair.name} ({pair.a.rounds} and {counted(pair.b.rounds, 'round')})")
        yield from details(pair)


def details(pair: Pair) -> Iterator[Part]:
    """Yield the tables of a variant of both records."""
    yield _shares(pair)
    yield _times(pair)
    yield _ratios(pair)
    yield _rises(pair)


def summary(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Yield what changed, how sure that is, and what limits the comparison."""
    for pair, each in comparison.changes:
        yield "changed", f"{pair.name}: {difference_text(each)}, {_chance(each.corrected)}"
    for pair, time in comparison.too_slow:
        by = f"{_ratio(time)} times A's ({_interval(time)}), {_chance(time.beyond)}"
        yield "too slow", f"{pair.name}: {time.name} {by}"
    if not comparison.changes:
        if any(_is_unclear(pair) for pair in comparison.pairs):
            yield "unclear", "whether anything changed"
        else:
            what = "verdicts, victims, return values and expectations"
            yield "unchanged", f"{what}: no difference beyond chance"
    for pair in comparison.pairs:
        for word, slower in (("slower", True), ("faster", False)):
            changed = [t for t in pair.times if t.changed and (t.ratio.estimate > 1) is slower]
            if changed:
                ratios = ", ".join(f"{time.name} {_ratio(time)}" for time in changed)
                yield word, f"{pair.name}: {ratios} times A's, beyond chance"
        if not pair.same_file:
            yield "note", f"{pair.name}: the scenario files differ"
        if _is_unclear(pair):
            differing = "; ".join(
                difference_text(each) for each in pair.differences if each.differs
            )
            yield "note", f"{pair.name}: too few rounds to tell from chance: {differing}"
    for letter, only in (("A", comparison.only_a), ("B", comparison.only_b)):
        yield from (("note", f"only in {letter}: {name}") for name in only)
    if comparison.allowed is not None:
        yield "limit", f"times may be longer by {100 * comparison.allowed:g} %"
    yield "test", f"a change: p < {ALPHA}, corrected for the number of rows (Holm)"


def _is_unclear(pair: Pair) -> bool:
    """Tell whether the rounds differ, but are too few to rule out chance."""
    return not pair.enough and any(each.differs for each in pair.differences)


def difference_text(each: Difference) -> str:
    """Write what differs, with its share of the rounds on both sides."""
    return f"{each.what} {share(each.a.count, each.a.of)} -> {share(each.b.count, each.b.of)}"


def _chance(chance: float) -> str:
    return "p < 0.0001" if chance < 0.0001 else f"p = {chance:.2g}"


def _shares(pair: Pair) -> Table:
    headers = ["rounds in which", "A", "B", "chance"]
    rows = [
        [
            each.what,
            share(each.a.count, each.a.of),
            share(each.b.count, each.b.of),
            f"{'changed, ' * each.changed}{_chance(each.corrected)}" if each.differs else "",
        ]
        for each in pair.differences
    ]
    for kind in dict.fromkeys([*pair.a.contention, *pair.b.contention]):
        busy = [one.contention.get(kind) for one in (pair.a, pair.b)]
        percents = [percent(each.count, each.of) if each else "-" for each in busy]
        rows.append([f"EBUSY of calls, {kind}", *percents, ""])
    return Table(headers, rows, numbers=headers[1:3], prose={headers[0]: 34})


def _times(pair: Pair) -> Table:
    headers = ["time", "n", "p50 A", "p50 B", "B/A", "p95 A", "p95 B", "B/A "]
    rows = []
    for name in dict.fromkeys([*pair.a.times, *pair.b.times]):
        a, b = (one.times.get(name, Distribution()) for one in (pair.a, pair.b))
        row = [name, f"{_thousands(a.n)}/{_thousands(b.n)}"]
        for of_a, of_b in ((a.p50, b.p50), (a.p95, b.p95)):
            b_by_a = ratio(of_a, of_b)
            row += [format_duration(of_a), format_duration(of_b)]
            row.append("-" if b_by_a is None else f"{b_by_a:.2f}")
        rows.append(row)
    return Table(headers, rows, numbers=headers[1:], spare=headers[5:])


def _ratios(pair: Pair) -> Table:
    headers = ["time per round", "B/A", "95 % interval", "B slower", "chance"]
    rows = []
    for each in pair.times:
        word = ("slower, " if each.ratio.estimate > 1 else "faster, ") * each.changed
        share_slower = f"{100 * each.test.slower:.0f} %"
        chance = f"{word}{_chance(each.corrected)}"
        rows.append([each.name, _ratio(each), _interval(each), share_slower, chance])
    return Table(headers, rows, numbers=headers[1:4])


def _ratio(each: TimeChange) -> str:
    return f"{each.ratio.estimate:.2f}"


def _interval(each: TimeChange) -> str:
    return "{:.2f} to {:.2f}".format(*each.ratio.interval) if each.ratio.interval else "-"


def _thousands(number: int) -> str:
    return f"{number // 1000}k" if number >= 10_000 else str(number)


def _rises(pair: Pair) -> Table:
    rows = [
        [name, *(per_round(one.rises.get(name, 0), one.ran) for one in (pair.a, pair.b))]
        for name in dict.fromkeys([*pair.a.rises, *pair.b.rises])
        if pair.a.rises.get(name) or pair.b.rises.get(name)
    ]
    return Table(["memory.events per round", "A", "B"], rows, numbers="AB")
