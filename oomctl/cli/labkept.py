"""`oomctl lab start`, `exec` and `stop`: one virtual machine for many commands."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli import ending, guest, options
from oomctl.cli.command import CACHE, command
from oomctl.cli.options import ExpectConsole, value
from oomctl.cli.output import Output
from oomctl.errors import UsageError
from oomctl.lab import kept, kept_run
from oomctl.lab.architecture import KERNELS
from oomctl.lab.kept_run import Keeping
from oomctl.lab.running import Job
from oomctl.units import Duration

_FOREIGN = "a guest that is kept has this machine's architecture"
_BOOTS_IT = "lab run and lab shell boot a kernel of another one"


def _name(text: str) -> str:
    try:
        return kept.valid_name(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


NAME = Annotated[str, value("NAME", "Name of the guest.", _name)]


@dataclass(frozen=True)
class LabStartOptions(guest.MachineOptions):
    """The options of `oomctl lab start`."""

    name: NAME = "lab"
    idle: Annotated[
        Duration,
        value(
            "TIME",
            "End the guest after this time without a command.",
            options.duration(1, 366 * 86_400),
        ),
    ] = Duration(600)
    owner: Annotated[
        int | None,
        value(
            "PID",
            "End the guest with this process; 0 is none. [default: the leader of this session, "
            "such as the shell]",
            options.integer(0, 1 << 22),
        ),
    ] = None
    kfunc: guest.Kfunc = True

    def __post_init__(self) -> None:
        """Check that the owner lives, and the architecture."""
        super().__post_init__()
        if self.arch and not KERNELS[self.arch].is_native:
            raise UsageError(_FOREIGN, _BOOTS_IT)
        if self.owner and not Path(f"/proc/{self.owner}").exists():
            raise UsageError(f"--owner {self.owner}: there is no such process")


@command(
    "the guest is ready",
    more=f"{guest.FAULTY} it is, but its kernel reported a fault that --expect-console does not "
    "name, or did not report one that it names",
    environment=[CACHE],
)
def start(given: LabStartOptions) -> None:
    """Start a virtual machine and keep it for many commands.

    `oomctl lab exec` runs a command in it without a boot, `oomctl lab stop` ends it. It also ends
    with its owner, and after the idle time. The options are those of `oomctl lab run`; --timeout is
    for the boot.

    Examples:
      oomctl lab start
      oomctl lab start --name big --memory 4G --disk 8G --swap 1G --idle 2h
      oomctl lab exec -- oomctl declare
      oomctl lab stop
    """
    owner = kept_run.default_owner() if given.owner is None else given.owner or None
    with Output(None) as place:
        with guest.ready(given, given.only_kernel, given.kfunc) as host:
            if not host.kernel.architecture.is_native:
                raise UsageError(_FOREIGN, _BOOTS_IT)
            machine = given.machine(host)
            job = replace(host.job((), {}, "/"), kept=True)
            keeping = Keeping(given.name, host.kernel.release, owner, given.idle)
            seconds, faults = kept_run.start(machine, job, keeping, given.timeout)
        ends = f"after {given.idle} without a command" + (f", or with pid {owner}" if owner else "")
        place.write(
            f"guest {given.name} is ready after {seconds:.1f} s: {host.kernel.release}, "
            f"ends {ends}\n"
        )
    if not guest.faults_are_good(faults, given.expect_console or []):
        raise typer.Exit(guest.FAULTY)


@dataclass(frozen=True, kw_only=True)
class LabExecOptions:
    """The options of `oomctl lab exec`."""

    command: guest.Command
    name: NAME = "lab"
    timeout: Annotated[
        Duration,
        value(
            "TIME",
            "Kill the command after this time, such as 90s, 10m or 5 (seconds).",
            options.duration(1, 366 * 86_400),
        ),
    ] = Duration(600)
    env: guest.Env = None
    expect_console: ExpectConsole = None

    def __post_init__(self) -> None:
        """Check the command."""
        guest.require_name(self.command)


@command(
    "and others: those of COMMAND",
    more=ending.CODES,
    environment=[CACHE],
    context_settings={"allow_interspersed_args": False},
)
def execute(given: LabExecOptions) -> None:
    """Run a command in a guest that `oomctl lab start` has started.

    Folder, environment, streams and exit status are as with `oomctl lab run`. Commands wait for
    each other. What a command leaves running goes on, and its output joins that of the next. A
    command whose `oomctl lab exec` ends is killed; if that is not possible, the guest is ended.

    Examples:
      oomctl lab exec -- oomctl smoke lock
      oomctl lab exec --name big -- oomctl run examples/soak.toml
    """
    record = kept.find(given.name)
    job = Job(tuple(given.command), guest.environment(given.env or []), os.getcwd())  # noqa: PTH109
    ended = kept_run.run(record, job, given.timeout, *guest.outputs())
    if ended.boot is not None:
        console.detail(f"the command began after {ended.boot:.2f} s, and took {ended.total:.1f} s")
    raise typer.Exit(ending.exit_code(ended, given))


@dataclass(frozen=True)
class LabStopOptions:
    """The options of `oomctl lab stop`."""

    name: NAME = "lab"


@command("the guest is gone", environment=[CACHE])
def stop(given: LabStopOptions) -> None:
    """End a guest that `oomctl lab start` has started.

    Examples:
      oomctl lab stop
    """
    kept.stop(kept.find(given.name))
