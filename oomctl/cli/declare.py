"""`oomctl declare`: options become a plan, the outcome becomes a report and an exit code."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from oomctl import plan, talk
from oomctl.cli import hogs as hog_options
from oomctl.cli import options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.errors import Exit, OomctlError, UsageError
from oomctl.experiment import Session
from oomctl.kernel import hierarchy
from oomctl.kernel.cgroups import UnifiedNode
from oomctl.kernel.environment import require_machine
from oomctl.report import RENDERERS, Format
from oomctl.report.plantext import describe
from oomctl.scenario import planning
from oomctl.task import Task
from oomctl.text import printable
from oomctl.units import format_size


@guarded
def declare(
    cgroup: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Declare OOM on this existing cgroup instead of a fresh one: a directory below "
            "the cgroup2 mount, or a path as /proc/PID/cgroup shows it. No hogs are added unless "
            "asked for.",
        ),
    ] = None,
    is_global: Annotated[
        bool,
        typer.Option(
            "--global",
            help="Declare OOM on the whole system (NULL memcg): the largest task of the MACHINE "
            "dies. Asks first, or needs --yes.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --global.")] = False,
    order: Annotated[
        int,
        typer.Option(
            parser=options.whole(plan.INT32_MIN, plan.INT32_MAX),
            metavar="N",
            help="Allocation order that the declaration claims; passed as it is, so 11 or -1 show "
            "the kernel's -EINVAL.",
        ),
    ] = 0,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait for oom_lock, or get -EBUSY if it is held. Default: wait for a memcg, do "
            "not wait for --global, as the kfunc's documentation advises.",
            show_default=False,
        ),
    ] = None,
    flags: Annotated[
        int | None,
        typer.Option(
            parser=options.whole(0, plan.UINT64_MAX),
            metavar="N",
            help="Raw flags instead of --wait/--no-wait, for testing; any but 0 and 1 is -EINVAL.",
        ),
    ] = None,
    hogs: Annotated[
        int | None,
        typer.Option(
            parser=options.whole(0, plan.MAX_HOGS),
            metavar="N",
            help="Add N hogs of --size each; 0 for none.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            parser=options.size,
            metavar="SIZE",
            help="Size of each of --hogs, such as 64M. [default: 32M]",
        ),
    ] = None,
    hog: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]SIZE[,adj=N]",
            help="Add one hog, with its oom_score_adj if you like; may be given again. "
            f"[default: {' '.join(hog_options.DEFAULT_HOGS)}]",
        ),
    ] = None,
    memory_max: Annotated[
        int | None,
        typer.Option(
            parser=options.size,
            metavar="SIZE",
            help="memory.max of the fresh cgroup. It also sets what a point of oom_score_adj "
            "weighs: a thousandth of it. [default: no limit]",
        ),
    ] = None,
    swap_max: Annotated[
        int,
        typer.Option(
            parser=options.size, metavar="SIZE", help="memory.swap.max of the fresh cgroup."
        ),
    ] = 0,
    oom_group: Annotated[
        bool,
        typer.Option("--oom-group", help="Set memory.oom.group in the fresh cgroup: all die."),
    ] = False,
    repeat: Annotated[
        int,
        typer.Option(
            parser=options.whole(1, 100_000),
            metavar="N",
            help="Declare N times on the same tree, each after the victims before are gone.",
        ),
    ] = 1,
    back_to_back: Annotated[
        bool,
        typer.Option(
            "--back-to-back",
            help="With --repeat: do not wait for the victims in between, so that a call may meet "
            "one that is still dying.",
        ),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            parser=options.seconds(0.1, 86_400),
            metavar="SECONDS",
            help="Limit on filling the hogs, on one call, and on its victims' end; each.",
        ),
    ] = 30.0,
    output_format: Annotated[
        Format, typer.Option("--format", "-f", help="Form of the result.")
    ] = "table",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the result there, not to stdout."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print what would be made, written and called; touch nothing."
        ),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the fresh cgroups and surviving hogs for a look.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say each step, and the logs behind an error.")
    ] = False,
) -> None:
    """Declare OOM on a cgroup and tabulate who died and what the kernel returned.

    Without options: a fresh cgroup with three hogs of different size, one declaration on it; the
    largest should die. Everything made is removed again.

    \b
    Examples:
      oomctl declare
      oomctl declare --hog big=64M --hog small=16M,adj=1000 --memory-max 128M
      oomctl declare --hogs 4 --size 16M --oom-group --format json
      oomctl declare --cgroup /sys/fs/cgroup/mytest --no-wait
      oomctl declare --order 11          # -EINVAL is a result

    Exit codes: 0 somebody was OOM-killed by every declaration; 1 not as wanted (nobody died, the
    kernel refused); 2 usage; 3 this machine or kernel cannot; 4 oomctl failed or could not clean
    up; 130 Ctrl-C.
    """
    talk.set_verbosity(int(verbose))
    if cgroup is not None and is_global:
        raise UsageError("--cgroup and --global exclude each other", "give one of them")
    if flags is not None and wait is not None:
        raise UsageError("--flags and --wait/--no-wait exclude each other", "give one of them")
    fresh = cgroup is None
    limits = planning.Limits(memory_max, swap_max, oom_group)
    if not fresh and limits != planning.Limits():
        raise UsageError(
            "--memory-max, --swap-max and --oom-group belong to a fresh cgroup, not to --cgroup",
            "set them in that cgroup yourself; oomctl does not change what it has not made",
        )
    given = [hog_options.parse_hog(text) for text in hog or ()]
    asked = bool(given) or hogs is not None or size is not None
    wanted = hog_options.plan_hogs(given, hogs, size) if fresh or asked else ()
    call = plan.Call(None, order, plan.flags_of(wait, flags, is_global))
    step = plan.Step(call, repeat=repeat, until="returned" if back_to_back else "exited")
    frame = plan.Plan((), (), wanted, (step,), None, timeout, keep)
    todo = _placed(frame, _root(cgroup), cgroup, is_global, limits)
    with Output(output) as place:
        if dry_run:
            place.write("".join(f"{printable(line)}\n" for line in describe(todo)))
            return
        if is_global and not yes and not talk.somebody_is_here():
            raise UsageError(
                "--global kills the largest task of the machine and nobody is here to be asked",
                "give --yes if that is what you want",
            )
        root, kfunc = require_machine()
        with Session(root, kfunc, lambda ranking: _confirm(ranking, yes)) as session:
            outcome = session.run(todo)
        place.write(RENDERERS[output_format](outcome))
    raise typer.Exit(Exit.OK if outcome.verdict.as_wanted else Exit.NOT_AS_WANTED)


def _placed(
    frame: plan.Plan, root: UnifiedNode, cgroup: str | None, is_global: bool, limits: planning.Limits
) -> plan.Plan:
    """Complete a plan by where it happens: in a named cgroup, or in a tree of its own."""
    name = f"oomctl-{os.getpid()}-{secrets.token_hex(3)}"
    (step,) = frame.steps
    if is_global and not frame.hogs:
        if limits != planning.Limits():
            raise UsageError("limits need a fresh cgroup, and --global --hogs 0 makes none")
        tree, target, top = planning.NO_TREE, None, None
    elif is_global:
        # bait: with hogs of ours around, the largest task is more likely one of them
        tree, target = planning.fresh_tree(name, frame.hogs, limits), None
        top = tree.cgroups[0]
    elif cgroup is None:
        tree = planning.fresh_tree(name, frame.hogs, limits)
        target = top = tree.cgroups[0]
    else:
        node = hierarchy.find_cgroup(root, cgroup)
        children_get = node.controller.subtree_control or ()
        tree = planning.borrowed_tree(node.cgroup, name, frame.hogs, children_get)
        target = top = node.cgroup
    return replace(
        frame,
        cgroups=tree.cgroups,
        settings=tree.settings,
        hogs=tree.hogs,
        steps=(replace(step, call=replace(step.call, target=target)),),
        top=top,
    )


def _root(cgroup: str | None) -> UnifiedNode:
    """Return the hierarchy's root; what a plan of our own says does not depend on its being there.

    So a wrong option is said first, and what the machine lacks afterwards.
    """
    try:
        return hierarchy.unified_root()
    except OomctlError:
        if cgroup is not None:
            raise
        return UnifiedNode(str(hierarchy.USUAL_MOUNT))


def _confirm(ranking: Sequence[tuple[int, Task]], yes: bool) -> None:
    """Say whom the kernel would pick on the whole machine; ask unless `--yes`."""
    for place, (_score, task) in enumerate(ranking[:3], 1):
        talk.note(
            f"{'the kernel would pick' if place == 1 else 'after it'}: {task.comm} (pid "
            f"{task.pid}, {format_size(task.footprint)}, adj {task.oom_score_adj}, {task.cgroup})"
        )
    if not yes and not talk.ask("declare OOM on the whole system?"):
        raise UsageError("not declared", "nothing was killed; everything made is removed")
