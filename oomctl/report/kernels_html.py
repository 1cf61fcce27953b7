"""Rounds on several kernels as one HTML page: what differs, and the times over each other."""

from collections.abc import Iterator

from oomctl import commandline
from oomctl.report import page
from oomctl.report.distributions import distributions
from oomctl.report.kernels_parts import by_variant, differences, machine_of, of_variant
from oomctl.report.page import escape
from oomctl.rounds.kernels import KernelsComparison
from oomctl.text import counted


def render(comparison: KernelsComparison) -> str:
    """Return the page."""
    names = ", ".join(one.name for one in comparison.kernels)
    return page.page(f"rounds on {names}", _page(comparison))


def _page(comparison: KernelsComparison) -> Iterator[str]:
    failed = [one.name for one in comparison.kernels if one.error]
    number = counted(len(comparison.kernels), "kernel")
    if failed:
        yield from page.top("bad", "failed", f"no rounds, or not all, on {', '.join(failed)}")
    elif found := len(comparison.differences):
        sentence = f"{counted(found, 'difference')} between {number}, by chance or not"
        yield from page.top("warn", "differs", sentence)
    else:
        yield from page.top("good", "same", f"{number} did the same")
    yield page.origin(commandline.origin())
    yield from body(comparison)


def body(comparison: KernelsComparison) -> Iterator[str]:
    """Yield all but the heading: the kernels, what differs, each variant."""
    yield page.facts((one.name, machine_of(one)) for one in comparison.kernels)
    yield page.rows((one.name, one.error) for one in comparison.kernels if one.error)
    if len(comparison.recorded) > 1:
        yield "<h2>What differs from the first</h2>"
        yield page.rows(differences(comparison))
    for name, found in by_variant(comparison).items():
        yield f"<h2>{escape(name)}</h2>"
        yield from page.parts(of_variant(found))
        yield "<h3>How long it took</h3>"
        yield from distributions({one.variant: one.round_times for one in found}, found)
