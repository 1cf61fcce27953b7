"""Who should die: the kernel's own arithmetic on what /proc showed just before the call. Pure."""

from dataclasses import dataclass

from oomctl.task import Task


@dataclass(frozen=True)
class Candidate:
    """One task and its badness in pages; None where the OOM killer passes it over, and why."""

    task: Task
    badness: int | None
    excluded: str = ""


@dataclass(frozen=True)
class Prediction:
    """The ranking of a target, the one to be chosen first; `victims` are the PIDs that should die.

    More than one victim means memory.oom.group of `group` (a cgroup's path). `totalpages` is what
    the kernel scales oom_score_adj by. `close` are the PIDs whose badness is so near the first's
    that what the kernel counts per CPU may turn the choice.
    """

    candidates: tuple[Candidate, ...]
    totalpages: int
    page_size: int
    victims: tuple[int, ...]
    group: str | None = None
    close: tuple[int, ...] = ()

    def agrees(self, killed: frozenset[int]) -> bool:
        """Tell whether these and no others died."""
        return killed == frozenset(self.victims)
