"""`oomctl lab shell`: an interactive root shell in a virtual machine."""

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import ending, guest
from oomctl.cli.command import CACHE, command
from oomctl.errors import UsageError
from oomctl.lab import terminal, vm
from oomctl.units import Duration

_ESCAPED = 130


@dataclass(frozen=True, kw_only=True)
class LabShellOptions(guest.MachineOptions):
    """The options of `oomctl lab shell`."""

    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND...]", help="Run this instead of a shell, after the options."
        ),
    ] = None
    timeout: Annotated[Duration, guest.TIMEOUT] = Duration(86_400)
    kfunc: guest.Kfunc = True


@command(
    "and others: those of the shell",
    more=ending.CODES,
    environment=[CACHE],
    context_settings={"allow_interspersed_args": False},
)
def shell(given: LabShellOptions) -> None:
    """Open a root shell in a virtual machine with the kfunc.

    The machine is that of `oomctl lab run`: the same files, PATH begins with this oomctl. The shell
    has a terminal of its own with this one's size, so Ctrl-C goes to the program in the guest. Its
    exit ends the machine; Ctrl-] three times within a second does so if the guest hangs.

    Examples:
      oomctl lab shell
      oomctl lab shell --kernel ~/linux --disk 4G --swap 1G
      oomctl lab shell -- watch -n 1 cat /proc/pressure/memory
    """
    if not is_on_a_terminal():
        raise UsageError(
            "stdin and stdout are not a terminal", "run it in a terminal; lab run needs none"
        )
    words = given.command or ["bash" if shutil.which("bash") else "/bin/sh"]
    environment = guest.environment([]) | {"PS1": r"oomctl-lab:\w# " if _is_bash(words) else "# "}
    with guest.ready(given, given.only_kernel, given.kfunc) as host:
        console.note("Ctrl-] three times within a second ends the guest")
        machine = given.machine(host)
        job = replace(host.job(words, environment, str(Path.cwd())), terminal=terminal.size())
        try:
            ended = vm.run_once(machine, job, given.timeout, *guest.outputs(), terminal.connected)
        except terminal.EscapedError:
            console.note("ended the guest at Ctrl-]")
            raise typer.Exit(_ESCAPED) from None
    raise typer.Exit(ending.exit_code(ended, given))


def is_on_a_terminal() -> bool:
    """Tell whether stdin and stdout are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _is_bash(words: list[str]) -> bool:
    return os.path.basename(words[0]) == "bash"  # noqa: PTH119
