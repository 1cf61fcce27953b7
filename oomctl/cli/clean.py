"""`oomctl clean`: removes what an oomctl left behind that was killed."""

from typing import Annotated

import typer

from oomctl import console
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import Exit
from oomctl.experiment.cleanup import clean_up
from oomctl.text import printable


@guarded
def clean(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be undone; touch nothing.")
    ] = False,
) -> None:
    """Undo what an oomctl has made or changed that was killed before it could do so itself.

    Each process of oomctl writes what it makes into a journal in /run/oomctl. Those whose process
    is gone are worked off: processes in its cgroups are killed, the cgroups removed, settings put
    back. What belongs to an oomctl that still runs is left alone, and so is what --keep has kept.
    `declare` and `run` do the same before they begin.

    Exit codes: 0 nothing is left; 3 the journals cannot be read; 4 something could not be undone.
    """
    lines: list[str] = []
    failed = False
    with Output(None) as place:
        for found in clean_up(really=not dry_run):
            lines += [f"{found.owner}: {'would ' if dry_run else ''}{did}" for did in found.done]
            for failure in found.failed:
                console.note(f"{found.owner}: {failure}")
            failed = failed or bool(found.failed)
        if not lines and not failed:
            lines = ["nothing to clean up"]
        place.write("".join(f"{printable(line)}\n" for line in lines))
    raise typer.Exit(Exit.FAILED if failed else Exit.OK)
