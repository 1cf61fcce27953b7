"""`oomctl run`: scenario files become rounds, rounds become statistics and an exit code."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from oomctl import console, scenario
from oomctl.cgroup.hierarchy import require_target, unified_root
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.parent import find_parent, require_children
from oomctl.cli import consent, options
from oomctl.cli.guard import guarded
from oomctl.cli.output import Output
from oomctl.describe import plan_text
from oomctl.errors import UnsupportedError, UsageError
from oomctl.experiment.environment import require_machine, unique_name
from oomctl.experiment.session import Session
from oomctl.oom import plan
from oomctl.oom.enums import Via
from oomctl.report import RENDERERS, RUN_RENDERERS, Format, render
from oomctl.rounds.loop import Limits
from oomctl.rounds.record import Record, open_records
from oomctl.rounds.run import exit_of
from oomctl.rounds.series import RecordedScenario, Series
from oomctl.rounds.variant import VariantPlanner, variants
from oomctl.scenario.fault import Fault, ScenarioError
from oomctl.scenario.planning import Site
from oomctl.text import printable
from oomctl.units import parse_duration

OF_ONE_ROUND: tuple[Format, ...] = ("html", "trace")
AS_DECLARED: tuple[Format, ...] = ("table", "markdown", *OF_ONE_ROUND)
"""The forms in which a single round is reported as `oomctl declare` reports it."""


def _duration(value: str | float) -> float:
    """Parse a time above zero."""
    try:
        seconds = parse_duration(str(value))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not 0 < seconds <= 366 * 86_400:
        raise typer.BadParameter(f"{value} is out of range; it goes from 1ms to a year")
    return seconds


def _vias(value: str) -> tuple[Via, ...]:
    """Parse triggers with commas between."""
    names = value.split(",")
    for name in names:
        if name not in [*Via]:
            raise UsageError(
                f"--via {value}: {name!r} is not a trigger", f"write some of {','.join(Via)}"
            )
    return tuple(map(Via, dict.fromkeys(names)))


@guarded
def run(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Scenario files (TOML), - is stdin; run one after the other."
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a key of every file, such as hog.large.size=64M; may be given again.",
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B...",
            help="Run a variant for each value, side by side; given again, for each combination.",
        ),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(
            metavar="TRIGGER,...",
            help="Make every call by each of these triggers, side by side: bpf (the kfunc), limit "
            "(memory.max below usage), reclaim (memory.reclaim first), kill (cgroup.kill), sysrq "
            "(the whole MACHINE). What is expected of returns, counters and latency is not "
            "judged where that changes a call.",
        ),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            parser=options.integer(1, 1_000_000_000),
            metavar="N",
            help="Rounds of each variant, in turn. [default: 1]",
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--for",
            parser=_duration,
            metavar="TIME",
            help="Rounds until this time is over, such as 10m; with --repeat whichever is first.",
        ),
    ] = None,
    until_differs: Annotated[
        bool,
        typer.Option(
            "--until-differs",
            help="End at the first round whose verdict, victims or returned values are not those "
            "of the first round of its variant, say what differs, and exit with 1.",
        ),
    ] = False,
    same_tree: Annotated[
        bool,
        typer.Option(
            "--same-tree", help="Make the cgroups once for all rounds, and only fresh hogs in them."
        ),
    ] = False,
    parent: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Make the tree in this existing cgroup, such as a delegated one, instead of the "
            "hierarchy's root; `self` is oomctl's own, such as that of `systemd-run --scope -p "
            "Delegate=yes`.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            parser=options.seconds(0.1, 86_400),
            metavar="SECONDS",
            help="Limit on filling the hogs, on one call, and on its victims' end; each. "
            "[default: the file's, else 30]",
        ),
    ] = None,
    dry_run: options.DryRun = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a call on the whole system.")
    ] = False,
    output_format: Annotated[
        Format,
        typer.Option(
            "--format", "-f", help="Form of the result; html and trace show a single round."
        ),
    ] = "table",
    output: options.OutputFile = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write every round there as it happens, as JSON lines; the file must not exist. "
            "[default: oomctl-SCENARIO-TIME-PID.jsonl here, if there is more than one round]",
        ),
    ] = None,
    no_record: Annotated[
        bool, typer.Option("--no-record", help="Leave no record of many rounds.")
    ] = False,
    verbose: options.Verbose = False,
) -> None:
    """Run experiments described in files, once or many times, and hold them to what they expect.

    One round of one variant is reported as `oomctl declare` does, with the expectations after it.
    Many rounds are reported as statistics, variants side by side. Every round goes to a record as
    it happens, so that nothing is lost whatever ends it: `oomctl report` shows it again, and
    `oomctl compare` what changed between two.

    \b
    Examples:
      oomctl run examples/largest-dies.toml
      oomctl run examples/largest-dies.toml --set hog.large.size=128M --dry-run
      oomctl run examples/parallel-wait.toml --repeat 50 --vary 'call[0].wait=true,false'
      oomctl run examples/triggers.toml --via bpf,limit  # who dies, how fast, which counters
      oomctl run examples/soak.toml --for 10m --same-tree --record soak.jsonl
      oomctl run examples/oom-*.toml --format ktap

    Exit codes: 0 all that was expected held in every round, or nothing was expected; 1 some did
    not, or --until-differs found a difference; 2 usage or a fault in a file; 3 this machine or
    kernel cannot; 4 oomctl failed or could not clean up; 130 Ctrl-C, with the statistics so far.
    """
    console.set_verbosity(int(verbose))
    rounds = repeat or (None if duration or until_differs else 1)
    limits = Limits(rounds, duration, until_differs)
    chosen = variants(scenario.vary(*(vary or ())), () if via is None else _vias(via))
    one_round = limits.single and len(chosen) == 1
    one_by_one = one_round and output_format in AS_DECLARED
    if until_differs and limits.single:
        raise UsageError("--until-differs needs more than one round", "leave out --repeat 1")
    if record and no_record:
        raise UsageError("--record and --no-record exclude each other", "give one of them")
    if output_format in OF_ONE_ROUND and not (one_round and len(files) == 1):
        raise UsageError(
            f"--format {output_format} shows one round of one variant of one file",
            "leave out what makes more, or take another form",
        )
    memory = psutil.virtual_memory().total
    parent_node = None if parent is None else find_parent(unified_root(), parent)
    parent_path = parent_node.cgroup if parent_node else None
    site = Site(unique_name, memory, parent_path, timeout)
    told: dict[str, Any] = {
        "repeat": rounds,
        "for_s": duration,
        "until_differs": until_differs,
        "same_tree": same_tree,
        "parent": parent_path,
        "timeout_s": timeout,
        "set": list(settings or ()),
        "vary": list(vary or ()),
        "via": via.split(",") if via else [],
    }
    texts: dict[Path, str] = {}
    per_variant = [
        scenario.load_all(files, settings or (), memory, each.overrides, texts) for each in chosen
    ]
    planners = [VariantPlanner(loaded, chosen, site) for loaded in zip(*per_variant, strict=True)]
    plans = [planner.plans() for planner in planners]
    with Output(output) as place, ExitStack() as stack:
        place.require_apart(files)
        if dry_run:
            with suppress(UnsupportedError):  # a plan for another machine
                _require_existing(unified_root(), planners, dry_run)
            place.write(_described(planners, plans))
            return
        if any(one.system_wide for of_a_file in plans for one in of_a_file):
            consent.require_somebody(yes, "a call on the whole system")
        root, kfunc = require_machine()
        _require_existing(root, planners)
        kept = record is not None or not (limits.single or no_record)
        records = stack.enter_context(
            open_records([planner.name for planner in planners], record, kept)
        )
        if record and place.is_at(record):
            raise UsageError(
                f"--record {record}: the result would go into the same file", "name another"
            )
        series = Series(list(map(_recorded, planners, records)), limits, told, same_tree)
        reports: list[str] = []

        def result() -> str:
            if one_by_one or output_format in OF_ONE_ROUND:
                return "\n".join(reports)
            return RUN_RENDERERS[output_format](series.sections)

        try:
            confirm = partial(consent.confirm, yes=yes)
            with Session(root, kfunc, confirm, parent_node) as session:
                for recorded, last in series.run(session):
                    if one_by_one and last:
                        title = f"== {printable(recorded.name)}\n\n" if len(planners) > 1 else ""
                        reports.append(
                            title + render(RENDERERS, output_format, last, terminal=place.width)
                        )
        except BaseException:
            if series.rounds:  # whatever ended them, those that were count
                place.write(result())
            raise
        place.write(result())
    raise typer.Exit(exit_of(section.run for section in series.sections))


def _require_existing(
    root: UnifiedNode, planners: Sequence[VariantPlanner], dry_run: bool = False
) -> None:
    """Raise ScenarioError where files name cgroups that this machine lacks, or cannot use so.

    Those that it lacks may be there later, when the run is not dry.
    """
    faults = [
        one.origin(Fault(key, error.why, error.hint))
        for planner in planners
        for one in planner.scenarios
        for key, cgroup in one.existing
        if (error := _unfit(root.at(cgroup), "parent" in key, dry_run))
    ]
    if faults:
        raise ScenarioError(faults)


def _unfit(node: UnifiedNode, is_parent: bool, dry_run: bool) -> UnsupportedError | None:
    """Return why a cgroup cannot be what a scenario names it for: a parent, else a target."""
    if not node.directory.is_dir():
        lack = f"this machine has no cgroup '{node.cgroup}'"
        return None if dry_run else UnsupportedError(lack, "make it, or name another")
    try:
        if not is_parent:
            require_target(node)
        elif node.parent:
            require_children(node)
    except UnsupportedError as error:
        return error
    return None


def _recorded(planner: VariantPlanner, record: Record) -> RecordedScenario:
    first = planner.scenarios[0]
    return RecordedScenario(first.name, first.description, first.source, planner.planned(), record)


def _described(planners: Sequence[VariantPlanner], plans: Sequence[Sequence[plan.Plan]]) -> str:
    """Return every plan; each with a heading where there are several."""
    found = [
        (f"{planner.name}: {variant.label}" if variant.label else planner.name, one)
        for planner, of_a_file in zip(planners, plans, strict=True)
        for variant, one in zip(planner.variants, of_a_file, strict=True)
    ]
    texts = []
    for name, one in found:
        lines = [f"== {name}", ""] if len(found) > 1 else []
        lines += plan_text.describe(one)
        texts.append("".join(f"{printable(line)}\n" for line in lines))
    return "\n".join(texts)
