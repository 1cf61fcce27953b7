"""Two records compared, for a terminal, for a mail (72 columns), and as JSON."""

import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Literal

from oomctl.describe import sentences
from oomctl.describe.sentences import Table
from oomctl.oom.as_json import SCHEMA
from oomctl.report import cells
from oomctl.report.markdown import escape
from oomctl.report.parts import Part, as_markdown, as_text
from oomctl.rounds.comparison import ALPHA, Comparison, Difference, Pair
from oomctl.rounds.statistics import Distribution
from oomctl.text import counted, printable
from oomctl.units import format_duration

ComparisonFormat = Literal["table", "json", "markdown"]
WIDTH = 72
_NAME = 34  # characters of what is compared, beside its numbers


def render_table(found: Comparison, names: tuple[str, str]) -> str:
    """Return it as text, what changed first; `names` are those of the two records."""
    blocks = [as_text(_summary(found, names), WIDTH)]
    for pair in found.pairs:
        blocks += [f"{_title(pair)}\n", as_text(_details(pair), WIDTH)]
    return "\n".join(blocks)


def render_markdown(found: Comparison, names: tuple[str, str]) -> str:
    """Return it as Markdown."""
    blocks = [as_markdown(_summary(found, names))]
    for pair in found.pairs:
        blocks += [f"### {escape(_title(pair))}\n", as_markdown(_details(pair))]
    return "\n".join(blocks)


def render_json(found: Comparison, names: tuple[str, str]) -> str:
    """Return one JSON object; `schema` rises when a field changes its meaning or goes."""
    tree = {
        "schema": SCHEMA,
        "records": [
            {"name": name, "environment": dict(environment)}
            for name, environment in zip(names, found.environments, strict=True)
        ],
        "changed": bool(found.changes),
        "alpha": ALPHA,
        "environment": [{"name": name, "a": a, "b": b} for name, a, b in found.machines],
        "only_a": list(found.only_a),
        "only_b": list(found.only_b),
        "pairs": [_pair_tree(pair) for pair in found.pairs],
    }
    return json.dumps(tree, indent=2) + "\n"


RENDERERS: dict[ComparisonFormat, Callable[[Comparison, tuple[str, str]], str]] = {
    "table": render_table,
    "json": render_json,
    "markdown": render_markdown,
}


def _title(pair: Pair) -> str:
    return printable(f"{pair.name} ({pair.a.rounds} and {counted(pair.b.rounds, 'round')})")


def _summary(found: Comparison, names: tuple[str, str]) -> Iterator[Part]:
    lines = [
        (letter, f"{printable(name)}: {sentences.machine(environment)}")
        for letter, name, environment in zip("AB", names, found.environments, strict=True)
    ]
    lines += [("differs", printable(f"{name}: {a} -> {b}")) for name, a, b in found.machines]
    yield Part(tuple(lines))
    lines = [
        ("changed", printable(f"{pair.name}: {_moved(each)}, {_chance(each.chance)}"))
        for pair, each in found.changes
    ]
    if not lines:
        what = "verdicts, victims, returned values and expectations"
        lines = [("unchanged", f"{what}, as far as chance allows to tell")]
        if any(_untold(pair) for pair in found.pairs):
            lines = [("unclear", "whether anything changed")]
    for pair in found.pairs:
        if not pair.same_file:
            lines.append(("note", printable(f"{pair.name}: the scenario's file differs")))
        if _untold(pair):
            differing = "; ".join(_moved(each) for each in pair.differences if each.differs)
            text = f"{pair.name}: too few rounds to tell from chance: {differing}"
            lines.append(("note", printable(text)))
    for letter, only in (("A", found.only_a), ("B", found.only_b)):
        lines += [("note", printable(f"only in {letter}: {name}")) for name in only]
    lines.append(("test", f"Fisher's exact on rounds, two-sided, p < {ALPHA} is a change"))
    yield Part(tuple(lines))


def _untold(pair: Pair) -> bool:
    """Tell whether the rounds differ, but are too few for more than chance."""
    return not pair.enough and any(each.differs for each in pair.differences)


def _moved(each: Difference) -> str:
    a, b = (cells.share(share.count, share.of) for share in (each.a, each.b))
    return f"{each.what} {a} -> {b}"


def _details(pair: Pair) -> Iterator[Part]:
    yield Part(table=_shares(pair))
    yield Part(table=_times(pair))
    yield Part(table=_rises(pair))


def _shares(pair: Pair) -> Table:
    headers = ["rounds in which", "A", "B", "chance"]
    rows = [
        [
            textwrap.fill(printable(each.what), _NAME),
            cells.share(each.a.count, each.a.of),
            cells.share(each.b.count, each.b.of),
            f"{'changed, ' * each.changed}{_chance(each.chance)}" if each.differs else "",
        ]
        for each in pair.differences
    ]
    for kind in dict.fromkeys([*pair.a.contention, *pair.b.contention]):
        shares = [one.contention.get(kind) for one in (pair.a, pair.b)]
        texts = [cells.percent(found.count, found.of) if found else "-" for found in shares]
        rows.append([f"EBUSY of calls, {kind}", *texts, ""])
    return Table(headers, rows, frozenset(headers[1:3]))


def _times(pair: Pair) -> Table:
    headers = ["time", "n", "p50 A", "p50 B", "B/A", "p95 A", "p95 B", "B/A "]
    rows = []
    for name in dict.fromkeys([*pair.a.times, *pair.b.times]):
        a, b = (one.times.get(name, Distribution()) for one in (pair.a, pair.b))
        row = [name, f"{_short(a.n)}/{_short(b.n)}"]
        for of_a, of_b in ((a.p50, b.p50), (a.p95, b.p95)):
            ratio = _ratio(of_a, of_b)
            row += [format_duration(of_a), format_duration(of_b)]
            row.append("-" if ratio is None else f"{ratio:.2f}")
        rows.append(row)
    return Table(headers, rows, frozenset(headers[1:]))


def _rises(pair: Pair) -> Table:
    names = dict.fromkeys([*pair.a.rises, *pair.b.rises])
    rows = [
        [
            printable(name),
            cells.a_round(pair.a.rises.get(name, 0), pair.a.ran),
            cells.a_round(pair.b.rises.get(name, 0), pair.b.ran),
        ]
        for name in names
        if pair.a.rises.get(name) or pair.b.rises.get(name)
    ]
    return Table(["memory.events, a round", "A", "B"], rows, frozenset("AB"))


def _chance(chance: float) -> str:
    return "p < 0.0001" if chance < 0.0001 else f"p = {chance:.2g}"


def _ratio(a: int | None, b: int | None) -> float | None:
    return b / a if a and b is not None else None


def _short(number: int) -> str:
    return f"{number // 1000}k" if number >= 10_000 else str(number)


def _pair_tree(pair: Pair) -> dict[str, Any]:
    return {
        "scenario": pair.scenario,
        "variant": pair.a.variant,
        "rounds": {"a": pair.a.rounds, "b": pair.b.rounds},
        "enough": pair.enough,
        "same_file": pair.same_file,
        "differences": [
            {
                "what": each.what,
                "a": asdict(each.a),
                "b": asdict(each.b),
                "p": each.chance,
                "changed": each.changed,
            }
            for each in pair.differences
        ],
        "contention": {
            kind: {
                side: asdict(one.contention[kind]) if kind in one.contention else None
                for side, one in (("a", pair.a), ("b", pair.b))
            }
            for kind in dict.fromkeys([*pair.a.contention, *pair.b.contention])
        },
        "times_ns": dict(_times_tree(pair)),
        "events": {
            name: {"a": pair.a.rises.get(name, 0), "b": pair.b.rises.get(name, 0)}
            for name in dict.fromkeys([*pair.a.rises, *pair.b.rises])
        },
    }


def _times_tree(pair: Pair) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in dict.fromkeys([*pair.a.times, *pair.b.times]):
        a, b = (one.times.get(name, Distribution()) for one in (pair.a, pair.b))
        yield (
            name.replace(" ", "_"),
            {
                "a": asdict(a),
                "b": asdict(b),
                "p50_ratio": _ratio(a.p50, b.p50),
                "p95_ratio": _ratio(a.p95, b.p95),
            },
        )
