"""Scenarios that commands make of something else, and what they say on stderr of these."""

from collections.abc import Iterator
from fractions import Fraction

from oomctl import console
from oomctl.errors import UsageError
from oomctl.oom.enums import Constraint
from oomctl.oom.explanation import Explanation
from oomctl.oom.reportsubtree import subtree_of
from oomctl.proc import meminfo
from oomctl.scenario.rebuild import Rebuilt, rebuild
from oomctl.text import counted, printable
from oomctl.units import format_size

_MAX_ORDER = 10


class Kept:
    """Explanations as they come, of which one is kept for a scenario: the first of a kill.

    With a number `kill` it is that one, and all others are left out.
    """

    def __init__(self, found: Iterator[Explanation], kill: int | None) -> None:
        self._found = found
        self._kill = kill
        self._kept: Explanation | None = None
        self._kills = self.count = 0

    def __iter__(self) -> Iterator[Explanation]:
        """Yield all of them, or the one that is wanted; then no more is read."""
        for each in self._found:
            self.count = each.number
            self._kills += each.report.victim is not None
            if self._kill is None:
                if self._kept is None or (self._kills == 1 and not self._kept.report.victim):
                    self._kept = each
                yield each
            elif each.number == self._kill:
                self._kept = each
                yield each
                return

    def require(self, name: str) -> Explanation:
        """Return the one kept; UsageError if the log `name` has none of that number."""
        if self._kept is None:
            reports = counted(self.count, "report")
            raise UsageError(f"--kill {self._kill}: {name} has {reports}", "name one of them")
        return self._kept

    def rebuilt(self, name: str, scale: Fraction) -> Rebuilt:
        """Return the scenario of the one kept."""
        report = self.require(name).report
        if self._kill is None and self._kills > 1:
            console.note(
                f"the scenario is of OOM {self.require(name).number}, the first of "
                f"{self._kills} kills; --kill N takes another"
            )
        subtree, victim = subtree_of(report), report.victim
        place = "the machine"
        if report.constraint is Constraint.MEMCG:
            place = f"the cgroup {subtree.name}" if report.memcg else "a cgroup"
        killed = f", which killed {victim.comm} ({victim.pid})" if victim else ""
        order = report.order or 0
        return rebuild(
            subtree,
            source=printable(f"An OOM report of {place}{killed}"),
            scale=scale,
            victim=report.process_of(victim.pid) if victim else None,
            order=order if 0 < order <= _MAX_ORDER else 0,
        )


def tell(made: Rebuilt, scale: Fraction) -> None:
    """Say on stderr what the scenario could not keep, and if it is too big for this machine."""
    for note in made.notes:
        console.note(note)
    memory = meminfo.total()
    if made.wanted >= memory:
        fits = scale
        while made.wanted * fits / scale > memory / 2:
            fits = Fraction(1, 2 * (fits.denominator // fits.numerator))
        console.note(
            f"the hogs want {format_size(made.wanted)}, but this machine has "
            f"{format_size(memory)}: --scale {fits} would fit"
        )
