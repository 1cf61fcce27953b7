"""The consent to declare OOM on the whole system, where the largest task dies."""

from collections.abc import Sequence

from oomctl import console
from oomctl.errors import UsageError
from oomctl.oom.task import Task
from oomctl.units import format_size


def require_consent(yes: bool, what: str) -> None:
    """Raise UsageError without `--yes` or a terminal to ask on; `what` would kill."""
    if not yes and (stream := console.not_interactive()):
        raise UsageError(
            f"{what} kills the largest task of the machine, and oomctl cannot ask for consent: "
            f"{stream} is not a terminal",
            "give --yes if that is what you want",
        )


def confirm(ranking: Sequence[tuple[int, Task]], yes: bool) -> None:
    """Show which tasks the kernel would choose on the whole machine; ask unless `--yes`."""
    for place, (_score, task) in enumerate(ranking[:3], 1):
        console.note(
            f"{'the kernel would pick' if place == 1 else 'after it'}: {task.comm} (pid "
            f"{task.pid}, {format_size(task.footprint)}, adj {task.oom_score_adj}, {task.cgroup})"
        )
    if not yes and not console.ask("declare OOM on the whole system?"):
        raise UsageError("not declared", "nothing was killed; everything made is removed")
