"""`oomctl run`: scenario files become rounds, rounds become statistics and an exit code."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import typer

from oomctl.cgroup.hierarchy import require_target, unified_root
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.parent import find_parent, require_children
from oomctl.cli import consent, dryrun, forms, kept
from oomctl.cli.command import CACHE, RUN_DIR, command
from oomctl.cli.exitcodes import CodedCommand
from oomctl.cli.runoptions import RunOptions
from oomctl.errors import UnsupportedError, UsageError
from oomctl.experiment.environment import require_machine
from oomctl.experiment.session import Session
from oomctl.oom.enums import Via
from oomctl.oom.outcome import Outcome
from oomctl.report import RENDERERS, RUN_RENDERERS, render
from oomctl.report.json_forms import render_run_lines
from oomctl.rounds.record import Record, open_records
from oomctl.rounds.run import Section, exit_of
from oomctl.rounds.series import RecordedScenario, Series
from oomctl.rounds.variant import VariantPlanner
from oomctl.scenario.fault import Fault, ScenarioError
from oomctl.text import printable


@command(
    "every expectation held in every round, or there was none",
    "one did not hold, or --until-differs found a difference",
    environment=[CACHE, RUN_DIR],
    cls=CodedCommand,
)
def run(given: RunOptions) -> None:
    """Run scenario files, once or many times; check expectations.

    One round of one variant is reported as by `oomctl declare`, with the expectations after it.
    Many rounds are reported as statistics, variants side by side. Every round goes to a record as
    it happens, so that an interrupted run loses nothing: `oomctl report` shows a record again,
    `oomctl compare` shows what changed between two.

    Examples:
      oomctl run examples/largest-dies.toml
      oomctl run examples/largest-dies.toml --set hog.large.size=128M --dry-run
      oomctl run examples/parallel-wait.toml --repeat 50 --vary 'call[0].wait=true,false'
      oomctl run examples/triggers.toml --via bpf,limit  # victims, times, counters
      oomctl run examples/soak.toml --for 10m --same-tree --record soak.jsonl
      oomctl run examples/oom-*.toml --format ktap
    """
    parent = None if given.parent is None else find_parent(unified_root(), given.parent)
    path = None if parent is None else parent.cgroup
    planners = given.planners(path)
    plans = [(one.name, one.variants, one.plans()) for one in planners]
    named = [
        (name, variant.label, plan)
        for name, of_file, plans_of_file in plans
        for variant, plan in zip(of_file, plans_of_file, strict=True)
    ]
    with forms.Places(forms.of(given.formats), given.output) as places:
        places.require_apart(given.files)
        if given.dry_run:
            with suppress(UnsupportedError):  # a plan for another machine
                _require_existing(unified_root(), planners, dry_run=True)
            if given.record:
                with Record(given.record):  # no round goes to it, so nothing is left of it
                    _require_apart(given.record, places)
            dryrun.write(places, named, _rounds(given))
            return
        if any(plan.system_wide for _name, _label, plan in named):
            by = ", as --via sysrq makes it," if Via.SYSRQ in given.triggers else ""
            consent.require_consent(given.yes, f"a call on the whole system{by}")
        sections = _run(given, planners, parent, places)
    raise typer.Exit(exit_of(section.run for section in sections))


def _run(
    given: RunOptions,
    planners: Sequence[VariantPlanner],
    parent: UnifiedNode | None,
    places: forms.Places,
) -> Sequence[Section]:
    """Run every round and write the result, whatever ends them."""
    root, kfunc = require_machine()
    _require_existing(root, planners)
    names = [planner.name for planner in planners]
    with open_records(names, given.record, given.recorded) as records:
        if given.record:
            _require_apart(given.record, places)
        recorded = list(map(_recorded, planners, records))
        header = given.for_record(None if parent is None else parent.cgroup)
        series = Series(recorded, given.limits, header, given.same_tree, given.summary)
        last_ones: list[tuple[str, Outcome]] = []

        def write() -> None:
            kept.keep("run", lambda: render_run_lines(series.sections))
            for form, place in places:
                if given.one_by_one(form):
                    shown = (
                        title + render(RENDERERS, form, outcome, terminal=place.width)
                        for title, outcome in last_ones
                    )
                    place.write("\n".join(shown))
                else:
                    sections = series.sections
                    place.write(render(RUN_RENDERERS, form, sections, terminal=place.width))

        try:
            confirm = partial(consent.confirm, yes=given.yes)
            with Session(root, kfunc, confirm, parent) as session:
                session.drawn = given.one_round
                for one, last in series.run(session):
                    if given.one_round and last:
                        title = f"== {printable(one.name)}\n\n" if len(planners) > 1 else ""
                        last_ones.append((title, last))
        except BaseException:
            if series.rounds:  # whatever ended them, the rounds before it count
                write()
            raise
        write()
    if not given.recorded:  # else the record is named
        kept.next_step(given.formats)
    return series.sections


def _require_apart(record: Path, places: forms.Places) -> None:
    if any(place.is_at(record) for _form, place in places):
        raise UsageError(
            f"--record {record}: the result would go into the same file", "name another"
        )


def _rounds(given: RunOptions) -> list[str]:
    """Return what a dry run says of the rounds, if they are not a single one."""
    limits = given.limits
    facts = [
        f"{limits.rounds} of each variant" if limits.rounds and not limits.single else "",
        f"for {given.duration}" if given.duration else "",
        "until one differs" if given.until_differs else "",
        "on the same tree" if given.same_tree else "",
        f"recorded in {given.record or 'a new file'}" if given.recorded else "",
        "as summaries" if given.summary else "",
    ]
    text = ", ".join(filter(None, facts))
    return [f"rounds  {text}"] if text else []


def _require_existing(
    root: UnifiedNode, planners: Sequence[VariantPlanner], dry_run: bool = False
) -> None:
    """Raise ScenarioError if files name cgroups that this machine lacks, or cannot use like that.

    A dry run accepts cgroups that are missing: they may be there later.
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
