"""What a session gives to each of its rounds."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from oomctl.bpf.declare import DeclareProgram
from oomctl.cgroup.node import UnifiedNode
from oomctl.hog.hogset import RunningHog
from oomctl.journal.file import Journal
from oomctl.oom.enums import Context
from oomctl.oom.plan import Plan, Step
from oomctl.oom.task import ProtectedTask


@dataclass(frozen=True)
class RoundSetup:
    """What a session gives to a round.

    `task_work` is the program for calls in task work, if the plan has any. `ready` gets the hogs
    once they are filled, before the tasks are read. `around` is entered just before the callers of
    a step are started, and left once they have returned. A round that is `drawn` takes longer: its
    samples begin well before the first call, and end when memory is back. `fresh` cgroups were made
    for the round: their counters began at 0.
    """

    plan: Plan
    root: UnifiedNode
    program: DeclareProgram
    journal: Journal
    protected: Sequence[ProtectedTask]
    ready: Callable[[Sequence[RunningHog]], object] | None = None
    around: Callable[[Step], AbstractContextManager[object]] | None = None
    task_work: DeclareProgram | None = None
    drawn: bool = False
    fresh: Collection[str] = ()

    def program_of(self, step: Step) -> DeclareProgram:
        """Return the program for the context of a step's call."""
        if step.call.context == Context.TASK_WORK and self.task_work:
            return self.task_work
        return self.program
