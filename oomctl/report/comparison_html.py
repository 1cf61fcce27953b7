"""Two records compared as one HTML page: what changed, how sure that is, and the distributions."""

from collections.abc import Iterator

from oomctl import commandline
from oomctl.describe.machine_text import machine_line
from oomctl.report import page
from oomctl.report.comparison_parts import details, summary
from oomctl.report.distributions import distributions
from oomctl.report.page import escape
from oomctl.rounds.comparison import Comparison
from oomctl.text import counted

_GOOD = ("unchanged",)
_BAD, _TIMES = ("changed", "too slow"), ("slower", "faster")
_MOST_LEADS = 4


def render(comparison: Comparison, names: tuple[str, str]) -> str:
    """Return the page; `names` are those of the two records."""
    return page.page(f"{names[0]} and {names[1]}", _page(comparison, names))


def _page(comparison: Comparison, names: tuple[str, str]) -> Iterator[str]:
    changes = len(comparison.changes) + len(comparison.too_slow)
    rows = [*summary(comparison)]
    label = rows[0][0] if rows else ""
    tone: page.Tone = "bad" if label in _BAD else "good" if label in _GOOD else "warn"
    sentence = {
        "bad": f"{counted(changes, 'difference is', 'differences are')} beyond chance",
        "good": "no verdict, victim, return value or expectation differs beyond chance",
        "warn": "too few rounds to tell",
    }[tone]
    lead = [text for label, text in rows if label in _BAD]
    lead += [f"B is {label}: {text}" for label, text in rows if label in _TIMES]
    yield from page.top(
        tone, label, f"{names[0]} (A) and {names[1]} (B): {sentence}", lead[:_MOST_LEADS]
    )
    command = commandline.origin()
    yield f'<p class="origin">{escape(" · ".join(command.values()))}</p>'
    machines = [
        (f"{letter}: {name}", machine_line(environment))
        for letter, name, environment in zip("AB", names, comparison.environments, strict=True)
    ]
    yield page.facts(machines)
    differs = [(name, f"{a} -> {b}") for name, a, b in (*comparison.options, *comparison.machines)]
    if differs:
        number = counted(len(differs), "option or setting", "options or settings")
        yield page.details(f"different: {number}", page.rows(differs), True)
    told = {text.partition(": ")[2] for text in lead[:_MOST_LEADS]} | {*lead[:_MOST_LEADS]}
    yield page.rows(row for row in rows if row[1] not in told)
    for pair in comparison.pairs:
        rounds = f"{pair.a.rounds} and {counted(pair.b.rounds, 'round')}"
        yield f'<h2>{escape(pair.name)} <span class="dim">{rounds}</span></h2>'
        sides = {f"A: {names[0]}": pair.a, f"B: {names[1]}": pair.b}
        times = {name: one.round_times for name, one in sides.items()}
        yield from distributions(times, sides.values())
        yield "<h3>In numbers</h3>"
        yield from page.parts(details(pair))
