"""`oomctl doctor`: whether this machine is fit, check by check."""

from dataclasses import dataclass
from typing import Annotated

import typer

from oomctl.cli import forms, kept, options
from oomctl.cli.command import CACHE, RUN_DIR, command
from oomctl.doctor import CHECKS, examine
from oomctl.doctor.machine import Machine
from oomctl.errors import Exit
from oomctl.report import DOCTOR_RENDERERS, ShortFormat


@dataclass(frozen=True)
class DoctorOptions:
    """The options of `oomctl doctor`."""

    formats: Annotated[forms.Given, forms.option(ShortFormat)] = None
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
    with forms.Places(forms.of(given.formats), given.output) as places:
        examination = examine(Machine(), CHECKS)
        kept.keep("doctor", lambda: DOCTOR_RENDERERS["json"](examination))
        places.write(DOCTOR_RENDERERS, examination)
    raise typer.Exit(Exit.OK if examination.fit else Exit.UNSUPPORTED)
