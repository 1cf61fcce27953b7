"""`oomctl clean`: removes what an oomctl that was killed left behind."""

from dataclasses import dataclass
from typing import Annotated

import typer

from oomctl import console
from oomctl.cli.command import RUN_DIR, command
from oomctl.cli.options import flag
from oomctl.cli.output import Output
from oomctl.errors import Exit
from oomctl.experiment.cleanup import clean_up
from oomctl.text import printable


@dataclass(frozen=True)
class CleanOptions:
    """The options of `oomctl clean`."""

    dry_run: Annotated[bool, flag("--dry-run", "Print what would be undone; do nothing.")] = False


@command("nothing is left", environment=[RUN_DIR])
def clean(given: CleanOptions) -> None:
    """Undo what a killed oomctl left behind.

    Each oomctl process writes what it makes into a journal. If the process is gone, `clean` kills
    the processes in its cgroups, removes the cgroups, and restores the settings. It does not touch
    what belongs to an oomctl that still runs, or what --keep has kept. `declare` and `run` do the
    same before they begin.

    Examples:
      oomctl clean --dry-run
      sudo oomctl clean
    """
    lines: list[str] = []
    failed = False
    with Output(None) as place:
        for found in clean_up(really=not given.dry_run):
            would = "would " if given.dry_run else ""
            lines += [f"{found.owner}: {would}{done}" for done in found.done]
            for failure in found.failed:
                console.note(f"{found.owner}: {failure}")
            failed = failed or bool(found.failed)
        if not lines and not failed:
            lines = ["nothing to clean up"]
        place.write("".join(f"{printable(line)}\n" for line in lines))
    raise typer.Exit(Exit.FAILED if failed else Exit.OK)
