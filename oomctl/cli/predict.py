"""`oomctl predict`: the kernel's choice computed from /proc, without declaring anything."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from oomctl import console
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.cli import forms, kept, options
from oomctl.cli.command import CACHE, command
from oomctl.errors import Exit, UnsupportedError, UsageError
from oomctl.experiment.candidates import read_candidates
from oomctl.oom.flip import flips
from oomctl.oom.reason import reason
from oomctl.oom.task import Task
from oomctl.proc import procfs
from oomctl.report import PREDICTION_RENDERERS, ShortFormat
from oomctl.text import cut, printable

_MOST_PIDS = 10
"""The PIDs that a message lists."""


@dataclass(frozen=True)
class PredictOptions:
    """The options of `oomctl predict`; UsageError unless there is one target."""

    cgroup: options.Cgroup = None
    is_global: options.Global = False
    top: Annotated[
        int | None,
        options.value("N", "Show only the first N tasks.", options.integer(1, 1_000_000)),
    ] = None
    why: Annotated[
        list[str] | None,
        options.value(
            "PID|NAME",
            "Say why this task would die or live, and at which oom_score_adj, size or memory.max "
            "that turns; may be repeated.",
        ),
    ] = None
    formats: Annotated[forms.Given, forms.option(ShortFormat)] = None
    output: options.OutputFile = None

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if (self.cgroup is None) is not self.is_global:
            why = "the target is missing" if self.cgroup is None else "there are two targets"
            raise UsageError(why, "give either --cgroup PATH or --global")


@command("a task would die", "no task would die", environment=[CACHE])
def predict(given: PredictOptions) -> None:
    """Show every task's badness and which would die; declare nothing.

    Badness is in pages, as oom_badness() counts it: rss + swap + page tables + oom_score_adj x
    (totalpages / 1000), where totalpages is the cgroup's memory.max and the swap it may use, or
    RAM + swap for --global. It needs neither the kfunc nor a module, and with --global not even
    cgroup v2.

    Examples:
      oomctl predict --global --top 10
      oomctl predict --cgroup /sys/fs/cgroup/mytest --format json
      oomctl predict --cgroup /sys/fs/cgroup/mytest --why sidecar --why 4711
    """
    with forms.Places(forms.of(given.formats), given.output) as places:
        if given.cgroup is None:
            if not procfs.sees_init_pids():
                console.note("in a PID namespace (a container): only its own tasks are seen")
            node, root = None, None
            with contextlib.suppress(UnsupportedError):
                root = hierarchy.unified_root()
        else:
            node, root = _target(given.cgroup)
        # predict itself has ended by the time that anything is declared
        candidates = read_candidates(node, root).without((os.getpid(),))
        prediction = candidates.predict()
        target = node.cgroup if node else None
        pids = dict.fromkeys(_pid(candidates.tasks, wanted) for wanted in given.why or ())
        asked = [(reason(prediction, pid), flips(candidates, pid)) for pid in pids]
        whole = PREDICTION_RENDERERS["json"]
        kept.keep("predict", lambda: whole(prediction, target, None, asked))
        places.write(PREDICTION_RENDERERS, prediction, target, given.top, asked)
        kept.next_step(given.formats)
    raise typer.Exit(Exit.OK if prediction.victims else Exit.NOT_AS_WANTED)


def _target(cgroup: str) -> tuple[UnifiedNode, UnifiedNode]:
    """Return the cgroup, which must have the memory controller, and the hierarchy's root."""
    root = hierarchy.unified_root()
    node = hierarchy.find_cgroup(root, cgroup)
    hierarchy.require_memory(root)
    hierarchy.require_target(node, f"--cgroup {cgroup}: ")
    return node, root


def _pid(tasks: Sequence[Task], wanted: str) -> int:
    """Return the PID of the task that --why names by it or by its comm; UsageError if none does."""
    names = {printable(wanted), _as_comm(wanted)}
    found = [task.pid for task in tasks if str(task.pid) == wanted]
    found = found or [task.pid for task in tasks if task.comm in names]
    if len(found) == 1:
        return found[0]
    name = cut(printable(wanted))
    if not found:
        raise UsageError(
            f"--why {name}: the target has no such task",
            "name a PID or a comm that `oomctl predict` lists without --why",
        )
    more = f" and {len(found) - _MOST_PIDS} more" if len(found) > _MOST_PIDS else ""
    raise UsageError(
        f"--why {name}: {len(found)} tasks have this name",
        f"give one of the PIDs {', '.join(map(str, found[:_MOST_PIDS]))}{more}",
    )


def _as_comm(name: str) -> str:
    """Return a name as the kernel keeps it, in 15 bytes (include/linux/sched.h, TASK_COMM_LEN)."""
    return printable(os.fsdecode(os.fsencode(name)[:15]))
