"""How a guest's end becomes an exit code, and what is shown of it."""

import select
import sys
from typing import Protocol

from oomctl import console
from oomctl.cli import guest
from oomctl.lab import vm
from oomctl.lab.vm import Ending
from oomctl.oom.enums import FaultKind
from oomctl.oom.faults import judge
from oomctl.units import Duration

FAULTY, TIMED_OUT, VANISHED = guest.FAULTY, 124, 125
CODES = (
    f"{FAULTY} COMMAND ended, but the kernel reported a fault that --expect-console does not name, "
    f"or did not report one that it names; {TIMED_OUT} the guest was ended at --timeout; "
    f"{VANISHED} the guest's kernel panicked or the guest vanished, stderr has the end of its "
    "console; 127 the guest has no such command; 128+N COMMAND died of signal N"
)
_CONSOLE_LINES = 60
_CONSOLE_COLUMNS = 240
_PATIENCE = 1.0


class Given(Protocol):
    """The options that say what of an end is expected."""

    @property
    def expect_console(self) -> list[str] | None:
        """Regular expressions for faults."""

    @property
    def timeout(self) -> Duration:
        """The time that the guest, or the command in it, had."""


def exit_code(ending: Ending, given: Given) -> int:
    """Show how a guest failed, by its death or by faults of its kernel; return the exit code."""
    expected = given.expect_console or []
    judged = judge(ending.faults, expected)
    panicked = any(fault.kind == FaultKind.PANIC for fault in ending.faults)
    if ending.status is None and not (panicked and judged.good):
        if _listens():
            _report(ending, given)
        return TIMED_OUT if ending.timed_out else VANISHED
    if judged.good:
        return ending.status or 0
    if _listens():
        ended = "the panic" if ending.status is None else f"status {ending.status}"
        guest.faults_are_good(ending.faults, expected, f" (COMMAND ended with {ended})")
    return FAULTY


def _listens() -> bool:
    """Tell whether stderr takes more: a pipe that the guest has filled would block us."""
    return bool(select.select([], [guest.outputs()[1]], [], _PATIENCE)[1])


def _report(ending: Ending, given: Given) -> None:
    if ending.timed_out:
        state = "running" if ending.boot is not None else "not begun: the guest was still booting"
        what = f"ended the guest at the timeout of {given.timeout}, the command was {state}"
        if not isinstance(given, guest.MachineOptions):
            what = f"killed the command at the timeout of {given.timeout}"
        console.note(f"{what}; --timeout TIME gives it longer")
    else:
        console.note(_why_dead(ending))
    if not getattr(given, "console", False):  # shown already
        for line in ending.console.splitlines()[-_CONSOLE_LINES:]:
            print(f"  {line[:_CONSOLE_COLUMNS]}", file=sys.stderr)


def _why_dead(ending: Ending) -> str:
    if panic := vm.panic(ending.console):
        return f"kernel-died: the guest's kernel panicked: {panic}"
    if ending.boot is None and not ending.console.strip():
        return f"the guest's kernel printed nothing, and {ending.qemu}; its image may be damaged"
    if ending.boot is None:
        return f"the guest vanished before the command began: {ending.qemu}"
    return f"the guest vanished: {ending.qemu}"
