"""A scenario without a fault: what loader.py makes of a file, and what options are. Pure.

Options need no reader of files, and so no pydantic: they are values already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oomctl.oom import plan
from oomctl.scenario import fault, values
from oomctl.scenario.fault import Origin
from oomctl.scenario.model import Call, Cgroup, File, Hog, Memory, Oom, Swap
from oomctl.scenario.names import TOP
from oomctl.scenario.rules import MAY_FAIL

_SPELLED = (("memory.max of '.'", "--memory-max"), (MAY_FAIL, ""))


@dataclass(frozen=True)
class Scenario:
    """One experiment without a fault: its name (the file's), its text, its values."""

    name: str
    source: str
    file: File
    origin: Origin

    @property
    def description(self) -> str:
        """What it shows, in a sentence."""
        return self.file.description

    @property
    def existing(self) -> Iterator[tuple[fault.Path, str]]:
        """The cgroups of the machine that it names, each after its key."""
        if self.file.parent:
            yield ("parent",), self.file.parent
        for index, call in enumerate(self.file.calls):
            if call.target and call.target.startswith("/"):
                yield ("call", index, "target"), call.target


def of_options(
    hogs: Sequence[plan.Hog],
    call: Call,
    *,
    memory_max: int | str | None = None,
    swap_max: int | str | None = None,
    oom_group: bool = False,
    timeout: float = 30.0,
) -> Scenario:
    """Make the scenario that the options of `oomctl declare` describe; its faults name options.

    `planning.plan` finds them, as it does those of a file. The limits are as a file has them,
    `timeout` is in seconds.
    """
    memory = Memory(
        max=None if memory_max is None else values.limit(memory_max),
        swap=Swap(None if swap_max is None else values.limit(swap_max)),
        oom=Oom(oom_group or None),
    )
    file = File(
        timeout=timeout,
        cgroup={TOP: Cgroup(memory)} if call.on_tree or hogs else {},
        hog={hog.name: Hog(size=hog.size, oom_score_adj=hog.oom_score_adj) for hog in hogs},
        call=(call,),
    )
    return Scenario("declare", "", file, Origin(spelled=_SPELLED))
