"""What a command says on stderr of a scenario that it has made of something else."""

from fractions import Fraction

import psutil

from oomctl import console
from oomctl.scenario.rebuild import Rebuilt
from oomctl.units import format_size


def tell(made: Rebuilt, scale: Fraction) -> None:
    """Say on stderr what the scenario could not keep, and if it is too big for this machine."""
    for note in made.notes:
        console.note(note)
    memory = psutil.virtual_memory().total
    if made.wanted >= memory:
        fits = scale
        while made.wanted * fits / scale > memory / 2:
            fits = Fraction(1, 2 * (fits.denominator // fits.numerator))
        console.note(
            f"the hogs want {format_size(made.wanted)}, but this machine has "
            f"{format_size(memory)}: --scale {fits} would fit"
        )
