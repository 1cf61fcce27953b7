"""The same rounds on several kernels, and what differs between them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oomctl.errors import Exit
from oomctl.rounds.comparison import Difference, Pair, compare
from oomctl.rounds.run import Section


@dataclass(frozen=True)
class KernelRecord:
    """What one kernel's record holds, by the kernel's name on the command line.

    `status` is the exit code of the command, None if its kernel did not come up; `error` says why
    there is no record.
    """

    name: str
    status: int | None
    sections: Sequence[Section] = ()
    error: str = ""


@dataclass(frozen=True)
class KernelDifference:
    """What a kernel does otherwise than the first one, in a variant of a scenario."""

    kernel: KernelRecord
    pair: Pair
    difference: Difference


@dataclass(frozen=True)
class KernelsComparison:
    """The records of several kernels."""

    kernels: Sequence[KernelRecord]

    @property
    def exit(self) -> int:
        """The first exit code that is not 0; 4 if a kernel did not come up."""
        codes = [Exit.FAILED if one.status is None else one.status for one in self.kernels]
        return next(filter(None, codes), Exit.FAILED if any(o.error for o in self.kernels) else 0)

    @property
    def recorded(self) -> list[KernelRecord]:
        """The kernels that have a record."""
        return [one for one in self.kernels if one.sections]

    @property
    def differences(self) -> list[KernelDifference]:
        """All that differs from the first kernel with a record, by chance or not."""
        return [*self._differences()]

    def _differences(self) -> Iterator[KernelDifference]:
        for other in self.recorded[1:]:
            first = self.recorded[0]
            a, b = ([section.run for section in one.sections] for one in (first, other))
            for pair in compare(a, b).pairs:
                for each in pair.differences:
                    if each.differs:
                        yield KernelDifference(other, pair, each)
