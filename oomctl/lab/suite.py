"""The suite in virtual machines: one for all the cases, and one more for each that should panic.

A kernel that dies of any other fails the case that ran, and the rest goes on in a new machine.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oomctl
from oomctl.errors import OomctlError
from oomctl.lab import vm
from oomctl.lab.pump import Sink
from oomctl.lab.vm import Ending
from oomctl.oom.check import Check
from oomctl.smoke.case import Case, Result
from oomctl.smoke.results import result_of
from oomctl.text import counted, printable

_TAIL = 25  # lines of a console
_LONGEST = 1 << 24
_SHOWN = 80
_DEATHS = 5
"""After so many kernels that died the rest is not run."""

# Swap for the one case that needs it; a kernel without zram has that case skipped.
_SWAP = (
    "modprobe zram && echo 192M >/sys/block/zram0/disksize && mkswap /dev/zram0 && "
    "swapon /dev/zram0"
)
_WITH_SWAP = f'{{ {_SWAP}; }} >/dev/null 2>&1; exec "$@"'

Boot = Callable[[tuple[str, ...], Sink], Ending]
"""Boots a machine, runs words in it, and hands on what they write to stdout."""


@dataclass
class GuestStream:
    """What the suite in a guest has told so far, in lines of JSON that come in any pieces."""

    met: Callable[[Mapping[str, Any]], object]
    came: Callable[[Result], object]
    began: bool = False
    names: list[str] = field(default_factory=list)
    ended: bool = False
    _rest: bytes = b""

    def take(self, data: bytes) -> None:
        """Take a piece of the guest's stdout."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LONGEST]  # more than that is no JSON of ours, and refused in the end
        for line in lines:
            try:
                self._line(json.loads(line))
            except (ValueError, KeyError, TypeError):
                said = printable(line[:_SHOWN].decode(errors="replace"))
                raise OomctlError(
                    f"the suite in the guest said what is no result: {said}"
                ) from None

    def _line(self, line: Mapping[str, Any]) -> None:
        match line["kind"]:
            case "suite":
                self.began = True
                self.met(line["environment"])
            case "case":
                self.names.append(line["name"])
                self.came(result_of(line))
            case "end":
                self.ended = True


@dataclass
class Suite:
    """Runs cases in guests; `came` is given each result, `met` the environment as JSON has it."""

    boot: Boot
    repeat: int
    met: Callable[[Mapping[str, Any]], object]
    came: Callable[[Result], object]
    starts: Callable[[str], object]

    def run(self, cases: Sequence[Case]) -> None:
        """Run them all, those that should panic last; OomctlError where a guest does not start."""
        rest = [case.name for case in cases if not case.panics]
        deaths = 0
        while rest:
            if deaths == _DEATHS:
                for name in rest:
                    self.came(
                        Result(name, False, f"not run: {counted(deaths, 'kernel')} died of others")
                    )
                break
            self.starts(rest[0])
            told = self._guest(rest)
            left = [name for name in rest if name not in told.names]
            if left == rest:
                raise OomctlError(f"the suite in the guest left out {rest[0]} and all after it")
            rest = left
            if not told.ended:
                deaths += 1
        for case in cases:
            if case.panics:
                self.starts(case.name)
                self._panics(case)

    def _guest(self, names: Sequence[str]) -> GuestStream:
        """Run cases in a guest; the one that it dies of has failed, and none comes after it.

        Between two cases it dies of the next. OomctlError where it dies after the last.
        """
        told = GuestStream(self.met, self.came)
        ending = self._booted(told, names, ("sh", "-c", _WITH_SWAP, "sh"))
        if not told.ended:
            left = [name for name in names if name not in told.names]
            if not left:
                raise OomctlError(
                    f"the guest did not survive the end of the suite: {_how(ending)}",
                    "run with -v to see what it said",
                    ending.console,
                )
            told.names.append(left[0])
            self.came(_died(left[0], ending))
        return told

    def _panics(self, case: Case) -> None:
        results: list[Result] = []
        told = GuestStream(self.met, results.append)
        ending = self._booted(told, [case.name])
        if told.ended:
            self.came(results[0])
            return
        panic = vm.panic(ending.console)
        if panic == case.panics:
            took = round(ending.total * 1e9)
            check = Check(f"the kernel panics: {case.panics}", True, panic)
            self.came(Result(case.name, True, "", (check,), good=1, took_ns=took))
            return
        self.came(_died(case.name, ending, case.panics))

    def _booted(
        self, told: GuestStream, names: Sequence[str], within: Sequence[str] = ()
    ) -> Ending:
        words = [sys.executable, "-m", "oomctl", "smoke", "--disposable", "--format", "jsonl"]
        words += ["--repeat", str(self.repeat), *names]
        ending = self.boot((*within, *words), told.take)
        if not told.began:
            raise OomctlError(
                f"the suite did not start in the guest: {_how(ending)}",
                "run with -v to see what it said",
                ending.console,
            )
        return ending


def environment() -> dict[str, str]:
    """Return the variables by which the guest's Python finds the same oomctl as this one."""
    return {"PYTHONPATH": str(Path(oomctl.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}


def _died(name: str, ending: Ending, wanted: str = "") -> Result:
    check = Check(f"the kernel panics: {wanted}" if wanted else "it lives", False, _how(ending))
    tail = [f"console: {line}" for line in ending.console.splitlines()[-_TAIL:]]
    return Result(name, False, "", (check,), tuple(tail), took_ns=round(ending.total * 1e9))


def _how(ending: Ending) -> str:
    if ending.timed_out:
        return f"the guest was ended after {ending.total:.0f} s (--timeout)"
    if panic := vm.panic(ending.console):
        return f"the kernel panicked: {panic}"
    if ending.status is not None:
        return f"the suite ended with status {ending.status}"
    return f"the guest vanished: {ending.qemu}" if ending.qemu else "the guest vanished"
