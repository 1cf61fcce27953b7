"""`oomctl declare`: options become a scenario and a plan, the outcome a report and an exit code."""

from dataclasses import replace
from functools import partial
from typing import Annotated

import psutil
import typer

from oomctl import console, scenario
from oomctl.cgroup import hierarchy
from oomctl.cli import consent, hog_options, options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.describe.plan_text import describe
from oomctl.errors import Exit, UsageError
from oomctl.experiment.environment import require_machine, unique_name
from oomctl.experiment.session import Session
from oomctl.oom.plan import INT32_MAX, INT32_MIN, MAX_HOGS, UINT64_MAX
from oomctl.report import RENDERERS, Format, render
from oomctl.scenario.planning import Existing, Site, plan
from oomctl.text import printable


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
            parser=options.integer(INT32_MIN, INT32_MAX),
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
            parser=options.integer(0, UINT64_MAX),
            metavar="N",
            help="Raw flags instead of --wait/--no-wait, for testing; any but 0 and 1 is -EINVAL.",
        ),
    ] = None,
    hogs: Annotated[
        int | None,
        typer.Option(
            parser=options.integer(0, MAX_HOGS),
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
        int | None,
        typer.Option(
            parser=options.size,
            metavar="SIZE",
            help="memory.swap.max of the fresh cgroup. [default: 0]",
        ),
    ] = None,
    oom_group: Annotated[
        bool,
        typer.Option("--oom-group", help="Set memory.oom.group in the fresh cgroup: all die."),
    ] = False,
    repeat: Annotated[
        int,
        typer.Option(
            parser=options.integer(1, 100_000),
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
    output: options.OutputFile = None,
    dry_run: options.DryRun = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the fresh cgroups and surviving hogs for a look.")
    ] = False,
    verbose: options.Verbose = False,
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
    console.set_verbosity(int(verbose))
    if cgroup is not None and is_global:
        raise UsageError("--cgroup and --global exclude each other", "give one of them")
    if flags is not None and wait is not None:
        raise UsageError("--flags and --wait/--no-wait exclude each other", "give one of them")
    limited = memory_max is not None or swap_max is not None or oom_group
    if cgroup is not None and limited:
        raise UsageError(
            "--memory-max, --swap-max and --oom-group belong to a fresh cgroup, not to --cgroup",
            "set them in that cgroup yourself; oomctl does not change what it has not made",
        )
    given = [hog_options.parse_hog(text) for text in hog or ()]
    asked = bool(given) or hogs is not None or size is not None
    wanted = hog_options.plan_hogs(given, hogs, size) if cgroup is None or asked else ()
    if is_global and not wanted and limited:
        raise UsageError("limits need a fresh cgroup, and --global --hogs 0 makes none")
    call = {
        "order": order,
        "repeat": repeat,
        "until": "returned" if back_to_back else "exited",
    }
    call |= {"global": True} if is_global else {}
    call |= {} if wait is None else {"wait": wait}
    call |= {} if flags is None else {"flags": flags}
    existing = None
    if cgroup is not None:
        node = hierarchy.find_cgroup(hierarchy.unified_root(), cgroup)
        hierarchy.require_target(node, f"--cgroup {cgroup}: ")
        existing = Existing(node.cgroup, hierarchy.children_get(node))
        call["target"] = node.cgroup
    written = scenario.of_options(
        wanted,
        call,
        memory_max=memory_max,
        swap_max=swap_max,
        oom_group=oom_group,
        timeout=timeout,
    )
    site = Site(unique_name, psutil.virtual_memory().total, existing=existing)
    todo = replace(plan(written, site), keep=keep)
    with Output(output) as place:
        if dry_run:
            place.write("".join(f"{printable(line)}\n" for line in describe(todo)))
            return
        if is_global:
            consent.require_somebody(yes, "--global")
        root, kfunc = require_machine()
        with Session(root, kfunc, partial(consent.confirm, yes=yes)) as session:
            outcome = session.run(todo)
        place.write(render(RENDERERS, output_format, outcome, terminal=place.width))
        if outcome.failure:
            raise outcome.failure
    raise typer.Exit(Exit.OK if outcome.verdict.as_wanted else Exit.NOT_AS_WANTED)
