"""`oomctl fleet`: the same command on many machines, through Ansible."""

import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from os import getpid
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from oomctl import cache, console, lazy
from oomctl.cli import forms, kept, options
from oomctl.cli.command import CACHE, command, options_of
from oomctl.cli.options import duration, integer, value
from oomctl.errors import OomctlError, UsageError
from oomctl.fleet import ansible, bundle, results
from oomctl.fleet.ansible import Fleet
from oomctl.fleet.hosts import Host, after, arrived, unfinished, worst
from oomctl.oom.enums import HostPhase
from oomctl.report import FLEET_RENDERERS, ShortFormat, fleet_parts
from oomctl.report.parts import as_text
from oomctl.text import counted
from oomctl.units import Duration

_OPTIONS = {
    "smoke": "cli.smoke:SmokeOptions",
    "run": "cli.runoptions:RunOptions",
    "declare": "cli.declare:DeclareOptions",
    "doctor": "cli.doctor:DoctorOptions",
}
_FOR_THE_FLEET = {"formats", "output", "record", "no_record", "dry_run", "list_cases", "bisect"}
_FOR_THE_FLEET |= {"keep", "exit_codes"}
"""Options that a command has no use for on a host."""


@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    """The options of `oomctl fleet`; UsageError if the command cannot be one for a fleet."""

    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND...", help="smoke, run, declare or doctor, with its options, after --."
        ),
    ]
    inventory: Annotated[
        list[str],
        value(
            "INVENTORY",
            "Ansible's inventory: a file, a folder, a script, or hosts such as m1,m2, (with a "
            "comma at the end); may be repeated.",
            *(None, "--inventory", "-i"),
        ),
    ]
    limit: Annotated[
        str | None, value("PATTERN", "Only these groups or hosts, as `ansible-playbook --limit`.")
    ] = None
    forks: Annotated[int, value("N", "How many hosts are at work at a time.", integer(1, 1000))] = (
        25
    )
    wait: Annotated[
        Duration,
        value(
            "TIME",
            "Wait this long for a host that does not answer any more, such as 90s or 10m.",
            duration(1, 86_400),
        ),
    ] = Duration(300)
    records: Annotated[
        Path | None,
        value(
            "FOLDER",
            "Keep each host's record in this new folder. [default: oomctl-fleet-TIME-PID]",
            options.file,
        ),
    ] = None
    formats: Annotated[forms.Given, forms.option(ShortFormat)] = None
    output: options.OutputFile = None

    def __post_init__(self) -> None:
        """Check the command."""
        _ = self.checked

    @cached_property
    def checked(self) -> Any:
        """The options of the command; the error that it would have itself if they are wrong."""
        name, *words = self.command
        if name not in _OPTIONS:
            raise UsageError(f"{name!r} is no command for a fleet", f"take {', '.join(_OPTIONS)}")
        made = options_of(lazy.load(_OPTIONS[name]), name, words)
        usable = {each.name for each in fields(made)} - _FOR_THE_FLEET
        options.refuse(made, "the fleet keeps a record of each host", usable)
        return made

    @property
    def dangerous(self) -> str:
        """What makes the command one for expendable hosts only; "" if nothing does."""
        match self.command[0]:
            case "smoke":
                return "--disposable" if self.checked.disposable else ""
            case "declare":
                return "--global" if self.checked.is_global else ""
            case "run":
                plans = (plan for one in self.checked.planners(None) for plan in one.plans())
                return "a call on the whole system" if any(p.system_wide for p in plans) else ""
        return ""

    @property
    def words(self) -> list[str]:
        """The command as a host runs it, writing its record."""
        if self.command[0] == "doctor":
            return self.command
        if self.command[0] == "smoke":
            return [*self.command, "--format", "jsonl"]
        return [*self.command, "--record", "record", *(["--yes"] if self.dangerous else [])]


@command(
    "on every host what the command calls good",
    "on some host it did not hold, or the kernel died",
    more="others: that of the worst host, of 4, 2, 1 and 3 the first",
    environment=[CACHE],
    context_settings={"allow_interspersed_args": False},
)
def fleet(given: FleetOptions) -> None:
    """Run smoke, run, declare or doctor on many machines.

    The machines are those of an Ansible inventory, reached and made root as it says; they need
    Python 3.11 and no network. oomctl is copied into a private folder there, checks the machine
    as `oomctl doctor` does, runs, sends its record while it runs, and is removed. The result
    compares the hosts. One that falls silent is waited for; if its kernel has died, the case that
    was begun last is named. Commands that may kill anything or panic (--global, --disposable)
    need oomctl_expendable=true for the host in the inventory.

    Examples:
      echo 'm[1:9].lab ansible_user=root oomctl_expendable=false' >hosts
      oomctl fleet -i hosts -- doctor
      oomctl fleet -i hosts --limit 'm[1:3].lab' -- smoke lock 'arguments.*'
      oomctl fleet -i m1,m2, --forks 2 -- run examples/soak.toml --repeat 20
      oomctl fleet -i hosts --limit m9.lab -- smoke --disposable panic
    """
    chosen = given.checked.chosen() if given.command[0] == "smoke" else ()
    dangerous = given.dangerous
    folder = given.records or Path(time.strftime(f"oomctl-fleet-%Y%m%d-%H%M%S-{getpid()}"))
    with (
        forms.Places(forms.of(given.formats), given.output) as places,
        _made(folder),
        cache.scratch("fleet-") as scratch,
    ):
        archive = scratch / "oomctl.pyz"
        files = given.checked.files if given.command[0] == "run" else ()
        bundle.pack(archive, given.words, files)
        variables = {
            "token": secrets.token_hex(4),
            "archive": str(archive),
            "dangerous": dangerous,
            "wait": int(given.wait),
        }
        play = _Play(given, variables, folder)
        try:
            play.run(scratch / "run")
        except BaseException:
            play.stop(scratch / "stop")
            raise
        result = _result(given, [*play.hosts.values()], folder, chosen)
        kept.keep("fleet", lambda: FLEET_RENDERERS["json"](result))
        places.write(FLEET_RENDERERS, result)
        kept.next_step(given.formats)
    raise typer.Exit(worst(result.hosts))


def _result(
    given: FleetOptions, hosts: Sequence[Host], folder: Path, chosen: Sequence[Any]
) -> results.FleetResult:
    records = [_record(folder, host.name) for host in hosts]
    if given.command[0] == "doctor":
        return results.FleetResult(hosts)
    if given.command[0] == "smoke":
        return results.of_suite(hosts, records, chosen)
    return results.of_rounds(hosts, records)


def _record(folder: Path, host: str) -> Path:
    return folder / f"{quote(host, safe='')}.jsonl"


@dataclass(frozen=True)
class _Play:
    """A fleet at work: its hosts as they are known by now, and the folder of their records."""

    given: FleetOptions
    variables: Mapping[str, Any]
    records: Path
    hosts: dict[str, Host] = field(default_factory=dict)

    def run(self, folder: Path) -> None:
        """Run the playbook; UsageError if there are no hosts."""
        said = self._follow(folder, Fleet(self.given.inventory, self.given.limit, self.given.forks))
        for name, host in self.hosts.items():
            self.hosts[name] = unfinished(host, said)
        if not self.hosts:
            named = " ".join(self.given.inventory)
            raise UsageError(f"no host in {named}: {said}", "`ansible-inventory --list` shows them")

    def stop(self, folder: Path) -> None:
        """End what runs on the hosts; OomctlError names those of which that cannot be known."""
        begun = [host.name for host in self.hosts.values() if host.used]
        if not begun:
            return
        console.note(f"ending oomctl on {counted(len(begun), 'host')}")
        fleet = Fleet(self.given.inventory, ",".join(begun), len(begun))
        self._follow(folder, fleet, stopping=True)
        if left := [host.name for host in self.hosts.values() if host.left]:
            raise OomctlError(
                f"cannot tell whether oomctl has ended on {', '.join(left)}",
                "where it still runs it ends, and removes its folder, within 6 minutes",
            )

    def _follow(self, folder: Path, fleet: Fleet, stopping: bool = False) -> str:
        """Run the playbook, and take each event; return what Ansible has to say."""
        said: list[str] = []
        variables = {**self.variables, "stopping": stopping}
        with _shown(self.hosts) as show:

            def take(event: ansible.Event | None) -> None:
                self._take(event, said)
                show()

            ansible.play(folder, fleet, variables, take)
        return said[0].partition(": ")[2] if said else "Ansible gave no reason"

    def _take(self, event: ansible.Event | None, said: list[str]) -> None:
        if event is None:
            return
        if found := re.match(r"\[(?:WARNING|ERROR)\]: .*", event["stdout"]):
            said.append(found[0])
        data = event.get("event_data") or {}
        if "host" not in data:
            return
        name, result = data["host"], data.get("res") or {}
        host = self.hosts.get(name, Host(name))
        if new := arrived(host, result):
            with _record(self.records, name).open("ab") as file:
                file.write(new)
        self.hosts[name] = after(host, event["event"], data["task"], result)


@contextmanager
def _shown(hosts: dict[str, Host]) -> Iterator[Callable[[], None]]:
    """Yield what shows the hosts: a live table on a terminal, else a line for each step."""
    if not sys.stderr.isatty():
        told: dict[str, str] = {}

        def note() -> None:
            for host in hosts.values():
                if told.get(host.name, HostPhase.WAITING) != host.phase:
                    told[host.name] = host.phase
                    console.note(f"{host.name}: {host.phase}{host.reason and f', {host.reason}'}")

        yield note
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    terminal = Console(stderr=True)
    with Live(console=terminal, refresh_per_second=4, transient=True) as live:
        table = fleet_parts.hosts_table
        yield lambda: live.update(
            Text(as_text([table(hosts.values())], terminal=terminal.width), no_wrap=True)
        )


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make the folder of the records; remove it if there are none."""
    try:
        folder.mkdir()
    except OSError as error:
        raise UsageError(f"--records {folder}: {error.strerror}", "name a new folder") from error
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
        if folder.exists():
            console.note(f"the records are in {folder}")
