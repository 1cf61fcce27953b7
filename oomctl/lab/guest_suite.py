"""The suite in virtual machines: a few for all cases, and one more for each that should panic.

A kernel that dies of another case fails that case, and the rest is run in a new machine.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import oomctl
from oomctl.errors import OomctlError
from oomctl.lab import vm
from oomctl.lab.pump import Sink
from oomctl.lab.qemu import Machine
from oomctl.lab.vm import Ending
from oomctl.oom.faults import Fault
from oomctl.oom.outcome import Check
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import result_of
from oomctl.text import counted, printable

_CONSOLE_LINES = 25
_MAX_LINE = 1 << 24
_MAX_QUOTE = 80
_MAX_DEATHS = 5
"""After this many kernels that died the rest is not run."""
_FEWEST = 16
"""Cases for which a guest of their own is worth its start."""

_ZRAM = 192 << 20
"""Bytes of swap for the one case that needs it, which is skipped on a kernel without zram."""


@dataclass(frozen=True)
class Booting:
    """A guest starts; `first` is the first of its cases."""

    first: str


@dataclass(frozen=True)
class Began:
    """The suite has begun in a guest; `environment` is as in JSON."""

    environment: Mapping[str, Any]


@dataclass(frozen=True)
class Beside:
    """The faults that the kernel of a guest reported that came to its end."""

    faults: tuple[Fault, ...]


News = Booting | Began | Result | Beside
Boot = Callable[[tuple[str, ...], Sink], Ending]
"""Boots a machine, runs words in it, and passes on their stdout."""


@dataclass
class GuestStream:
    """The output of the suite in a guest: lines of JSON, which arrive in any pieces."""

    tell: Callable[[News], object]
    began: bool = False
    names: list[str] = field(default_factory=list)
    ended: bool = False
    _rest: bytes = b""

    def take(self, data: bytes) -> None:
        """Take a piece of the guest's stdout."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_MAX_LINE]  # a longer line is not a result, and fails at its end
        for line in lines:
            try:
                self._take_line(json.loads(line))
            except (ValueError, KeyError, TypeError):
                quote = printable(line[:_MAX_QUOTE].decode(errors="replace"))
                raise OomctlError(f"the suite in the guest printed no result: {quote}") from None

    def _take_line(self, line: Mapping[str, Any]) -> None:
        match line["kind"]:
            case "suite":
                self.began = True
                self.tell(Began(line["environment"]))
            case "case":
                self.names.append(line["name"])
                self.tell(result_of(line))
            case "end":
                self.ended = True


@dataclass
class GuestSuite:
    """Runs cases in one guest after another, and tells what happens."""

    boot: Boot
    repeat: int
    tell: Callable[[News], object]
    expected_faults: Sequence[str] = ()
    python: str = sys.executable

    def run(self, cases: Sequence[Case]) -> None:
        """Run all cases, those that should panic last; OomctlError if a guest does not start."""
        rest = [case.name for case in cases if not case.panics]
        deaths = 0
        while rest and deaths < _MAX_DEATHS:
            stream = self._run_in_guest(rest)
            left = [name for name in rest if name not in stream.names]
            if left == rest:
                raise OomctlError(f"the suite in the guest skipped {rest[0]} and all cases after")
            rest = left
            deaths += not stream.ended
        for name in rest:
            reason = f"not run: {counted(deaths, 'kernel')} died of other cases"
            self.tell(Result(name, False, reason))
        for case in cases:
            if case.panics:
                self._run_panic(case)

    def _run_in_guest(self, names: Sequence[str]) -> GuestStream:
        """Run cases in a guest up to the one that it dies of, which has failed.

        If the guest dies between two cases, it dies of the second. OomctlError if it dies after the
        last.
        """
        stream = GuestStream(self.tell)
        ending = self._run_stream(stream, names)
        if not stream.ended:
            left = [name for name in names if name not in stream.names]
            if not left:
                raise OomctlError(
                    f"the guest did not survive the end of the suite: {_how(ending)}",
                    "run with -v to see its output",
                    ending.console,
                )
            stream.names.append(left[0])
            self.tell(_died(left[0], ending))
        return stream

    def _run_panic(self, case: Case) -> None:
        told: list[News] = []
        stream = GuestStream(told.append)
        ending = self._run_stream(stream, [case.name])
        if stream.ended:
            for news in told:
                self.tell(news)
        elif vm.panic(ending.console) == case.panics:
            check = Check(f"the kernel panics: {case.panics}", True, case.panics)
            took_ns = round(ending.total * 1e9)
            self.tell(Result(case.name, True, "", (check,), good=1, took_ns=took_ns))
        else:
            self.tell(_died(case.name, ending, case.panics))

    def _run_stream(self, stream: GuestStream, names: Sequence[str]) -> Ending:
        self.tell(Booting(names[0]))
        words = [self.python, "-m", "oomctl", "smoke", "--disposable", "--format", "jsonl"]
        words += ["--repeat", str(self.repeat)]
        words += [f"--expect-console={text}" for text in self.expected_faults]
        words += names
        ending = self.boot(tuple(words), stream.take)
        if not stream.began:
            raise OomctlError(
                f"the suite did not start in the guest: {_how(ending)}",
                "run with -v to see its output",
                ending.console,
            )
        if ending.status is not None:  # else its death is the result of a case
            self.tell(Beside(ending.faults))
        return ending


def parts(cases: Sequence[Case], most: int) -> list[tuple[Case, ...]]:
    """Return what may run beside each other: cases dealt out to at most `most` guests, and panics.

    Neighbours go to different guests, so that results come about in their order.
    """
    others = [case for case in cases if not case.panics]
    guests = max(1, min(most, len(others) // _FEWEST))
    dealt = (tuple(others[first::guests]) for first in range(guests))
    return [*filter(None, dealt), *((case,) for case in cases if case.panics)]


def with_swap(machine: Machine) -> Machine:
    """Return a machine with the swap that a case needs, if its kernel has zram."""
    return machine if machine.zram else replace(machine, zram=_ZRAM, needs_zram=False)


def environment() -> dict[str, str]:
    """Return the variables by which the guest's Python finds the same oomctl as this one."""
    return {"PYTHONPATH": str(Path(oomctl.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}


def _died(name: str, ending: Ending, panics: str = "") -> Result:
    wanted = f"the kernel panics: {panics}" if panics else "the kernel survives"
    lines = [f"console: {line}" for line in ending.console.splitlines()[-_CONSOLE_LINES:]]
    check = Check(wanted, False, _how(ending))
    return Result(name, False, "", (check,), tuple(lines), took_ns=round(ending.total * 1e9))


def _how(ending: Ending) -> str:
    if ending.timed_out:
        return f"the guest was ended after {ending.total:.0f} s (--timeout)"
    if panic := vm.panic(ending.console):
        return f"the kernel panicked: {panic}"
    if ending.status is not None:
        return f"the suite ended with status {ending.status}"
    return f"the guest vanished: {ending.qemu}" if ending.qemu else "the guest vanished"
