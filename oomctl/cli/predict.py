"""`oomctl predict`: the kernel's choice computed from /proc, without declaring anything."""

import contextlib
import os
from typing import Annotated

import typer

from oomctl import console
from oomctl.cgroup import hierarchy
from oomctl.cgroup.node import UnifiedNode
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import Exit, UnsupportedError, UsageError
from oomctl.experiment.candidates import read_candidates
from oomctl.proc import procfs
from oomctl.report import PREDICTION_RENDERERS, ShortFormat, render


@guarded
def predict(
    cgroup: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Predict for this cgroup: a directory below the cgroup2 mount, or a path as "
            "/proc/PID/cgroup shows it.",
        ),
    ] = None,
    is_global: Annotated[
        bool, typer.Option("--global", help="Predict for the whole system (NULL memcg).")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            parser=options.integer(1, 1_000_000), metavar="N", help="Show only the first N tasks."
        ),
    ] = None,
    output_format: Annotated[
        ShortFormat, typer.Option("--format", "-f", help="Form of the result.")
    ] = "table",
    output: options.OutputFile = None,
) -> None:
    """Show every task's badness as the OOM killer counts it, and who would die; declare nothing.

    Badness is in pages: rss + swap + page tables + oom_score_adj x (totalpages / 1000), where
    totalpages is the cgroup's own memory.max with the swap it may use, or RAM + swap for --global.
    Needs neither the kfunc nor a module; --global not even cgroup v2.

    \b
    Examples:
      oomctl predict --global --top 10
      oomctl predict --cgroup /sys/fs/cgroup/mytest --format json

    Exit codes: 0 somebody would die; 1 nobody would; 2 usage; 3 this machine cannot; 4 oomctl
    failed.
    """
    if (cgroup is None) is not is_global:
        raise UsageError("give either --cgroup PATH or --global", "which tasks is this about?")
    with Output(output) as place:
        if cgroup is None:
            if not procfs.sees_init_pids():
                console.note("in a PID namespace (a container): only its own tasks are seen")
            node, root = None, None
            with contextlib.suppress(UnsupportedError):
                root = hierarchy.unified_root()
        else:
            node, root = _target(cgroup)
        # predict itself has ended by the time that anything is declared
        prediction = read_candidates(node, root).predict(without=(os.getpid(),))
        target = node.cgroup if node else None
        about = (prediction, target, top)
        place.write(render(PREDICTION_RENDERERS, output_format, *about, terminal=place.width))
    raise typer.Exit(Exit.OK if prediction.victims else Exit.NOT_AS_WANTED)


def _target(cgroup: str) -> tuple[UnifiedNode, UnifiedNode]:
    """Return the cgroup, which must have the memory controller, and the hierarchy's root."""
    root = hierarchy.unified_root()
    node = hierarchy.find_cgroup(root, cgroup)
    hierarchy.require_memory(root)
    hierarchy.require_target(node, f"--cgroup {cgroup}: ")
    return node, root
