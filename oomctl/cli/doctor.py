"""`oomctl doctor`: whether this machine is fit, check by check."""

from dataclasses import dataclass
from typing import Annotated

import typer

from oomctl.cli import options
from oomctl.cli.command import CACHE, RUN_DIR, command
from oomctl.cli.output import Output
from oomctl.doctor import CHECKS, examine
from oomctl.doctor.machine import Machine
from oomctl.errors import Exit
from oomctl.report import DOCTOR_RENDERERS, PlainFormat, render


@dataclass(frozen=True)
class DoctorOptions:
    """The options of `oomctl doctor`."""

    form: Annotated[PlainFormat, options.form(PlainFormat)] = "table"
    output: options.OutputFile = None


@command("`oomctl declare` can work here, perhaps with warnings", environment=[CACHE, RUN_DIR])
def doctor(given: DoctorOptions) -> None:
    """Check whether `oomctl declare` can work here, and how to fix it.

    It asks the kernel itself, check by check, and leaves nothing changed: the BPF programs that
    trace are attached for a moment and tried on a child of its own; the one that declares is only
    loaded. Without root it says which checks it could not make.

    Examples:
      oomctl doctor
      oomctl doctor --format json -o machine.json
    """
    with Output(given.output) as place:
        examination = examine(Machine(), CHECKS)
        place.write(render(DOCTOR_RENDERERS, given.form, examination, terminal=place.width))
    raise typer.Exit(Exit.OK if examination.fit else Exit.UNSUPPORTED)
