"""What is wrong with a scenario: where, what, and what to write instead. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from oomctl.errors import UsageError
from oomctl.scenario.words import Path, dotted
from oomctl.text import printable


@dataclass(frozen=True)
class Fault:
    """One fault: the path of the key, what is wrong with it, what to write instead.

    `where` is the file, `--set` or `--vary`; without it the path is not said either. `rests_on` are
    the keys whose values the fault was drawn from: where one of them is at fault itself, this is no
    news.
    """

    path: Path
    what: str
    hint: str = ""
    rests_on: tuple[Path, ...] = ()
    where: str = ""

    @property
    def line(self) -> str:
        """The fault on one line: `FILE: key.path: what; hint`."""
        what = f"{self.what}; {self.hint}" if self.hint else self.what
        place = [self.where] if self.where else []
        if self.where and self.path:
            place.append(dotted(self.path))
        apart = " " if self.where in (OVERRIDE, VARY) else ": "
        return printable(f"{apart.join(place)}: {what}" if place else what)


OVERRIDE, VARY = "--set", "--vary"


class ScenarioError(UsageError):
    """A scenario cannot be what it says: all of its faults at once, each a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(dict.fromkeys(faults))
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """The faults, one line each."""
        return tuple(dict.fromkeys(fault.line for fault in self.faults))


@dataclass(frozen=True)
class Origin:
    """Where a scenario's values were written: in `file`, by `--set` or `--vary`, or as options.

    `overrides` are the paths that these gave, with the option; `spelled` has the option's name for
    a phrase of ours, and is for a scenario that no file holds.
    """

    file: str = ""
    overrides: tuple[tuple[Path, str], ...] = ()
    spelled: tuple[tuple[str, str], ...] = ()

    def __call__(self, fault: Fault) -> Fault:
        """Return the fault as its author can find it."""
        by = [option for path, option in self.overrides if _within(fault.path, path)]
        what, hint = fault.what, fault.hint
        for phrase, option in self.spelled:
            what, hint = what.replace(phrase, option), hint.replace(phrase, option)
        where = by[-1] if by else self.file
        return Fault(fault.path, what, hint, where=where)


def _within(path: Path, above: Path) -> bool:
    return path[: len(above)] == above


def news(faults: Iterable[Fault], known: Iterable[Fault]) -> list[Fault]:
    """Return those faults that do not follow from faults which are known already."""
    broken = {fault.path for fault in known}
    return [
        fault
        for fault in faults
        if not any(_within(path, each) for path in (fault.path, *fault.rests_on) for each in broken)
    ]
