"""`oomctl run`: scenario files become rounds, rounds become statistics and an exit code."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import typer

from oomctl import scenario
from oomctl.cgroup.hierarchy import require_target, unified_root
from oomctl.cgroup.node import UnifiedNode
from oomctl.cgroup.parent import find_parent, require_children
from oomctl.cli import completion, consent, dryrun, forms, kept, options
from oomctl.cli.command import CACHE, RUN_DIR, command
from oomctl.cli.exitcodes import CodedCommand, ExitCodes
from oomctl.cli.options import flag, integer, value
from oomctl.errors import UnsupportedError, UsageError
from oomctl.experiment.environment import require_machine
from oomctl.experiment.naming import unique_name
from oomctl.experiment.session import Session
from oomctl.oom.enums import Via
from oomctl.oom.outcome import Outcome
from oomctl.proc import meminfo
from oomctl.report import RENDERERS, RUN_RENDERERS, Format, render
from oomctl.report.json_forms import render_run_lines
from oomctl.rounds.loop import Limits
from oomctl.rounds.record import Record, open_records
from oomctl.rounds.run import Section, exit_of
from oomctl.rounds.series import RecordedScenario, Series
from oomctl.rounds.variant import Variant, VariantPlanner, variants
from oomctl.scenario.fault import Fault, ScenarioError
from oomctl.scenario.planning import Site
from oomctl.text import printable
from oomctl.units import Duration

OF_ONE_ROUND: tuple[Format, ...] = ("trace",)
AS_DECLARED: tuple[Format, ...] = ("table", "markdown", *OF_ONE_ROUND)
"""The forms in which a single round is reported as `oomctl declare` reports it."""


@dataclass(frozen=True)
class RunOptions:
    """The options of `oomctl run`; UsageError if they exclude each other."""

    files: options.Scenarios
    settings: options.Set = None
    vary: Annotated[
        list[str] | None,
        value(
            "KEY=A,B...",
            "Run a variant for each value, side by side; if repeated, for each combination.",
            autocompletion=completion.overrides,
        ),
    ] = None
    via: Annotated[
        str | None,
        value(
            "TRIGGER,...",
            "Make every call by each of these triggers, side by side: bpf (the kfunc), limit "
            "(memory.max below usage), reclaim (memory.reclaim first), kill (cgroup.kill), sysrq "
            "(the whole MACHINE). If that changes a call, expectations of returns, counters and "
            "latency are not checked.",
            autocompletion=completion.triggers,
        ),
    ] = None
    repeat: Annotated[
        int | None,
        value("N", "Rounds of each variant, in turn. [default: 1]", integer(1, 1_000_000_000)),
    ] = None
    duration: Annotated[
        Duration | None,
        value(
            "TIME",
            "Run rounds for this time, such as 90s, 10m or 5 (seconds), or until --repeat ends.",
            *(options.duration(1e-6, 366 * 86_400), "--for"),
        ),
    ] = None
    until_differs: Annotated[
        bool,
        flag(
            "--until-differs",
            "End at the first round whose verdict, victims or returned values differ from those of "
            "its variant's first round, say how, and exit with 1.",
        ),
    ] = False
    same_tree: Annotated[
        bool, flag("--same-tree", "Make the cgroups once, with fresh hogs for each round.")
    ] = False
    parent: Annotated[
        str | None,
        value(
            "PATH",
            "Make the tree in this existing cgroup, such as a delegated one, instead of in the "
            "hierarchy's root; `self` is oomctl's own, such as that of `systemd-run --scope -p "
            "Delegate=yes`.",
        ),
    ] = None
    timeout: Annotated[
        Duration | None,
        value(
            "TIME",
            f"{options.LIMIT} [default: the file's, else 30s]",
            options.duration(0.1, 86_400),
        ),
    ] = None
    dry_run: options.DryRun = False
    yes: options.Yes = False
    formats: Annotated[
        forms.Given,
        forms.option(Format, "trace shows one round. With --dry-run: table or json."),
    ] = None
    exit_codes: ExitCodes = "default"
    output: options.OutputFile = None
    record: Annotated[
        Path | None,
        value(
            "FILE",
            "Write every round to this new file as it happens, as JSON lines. [default: "
            "oomctl-SCENARIO-TIME-PID.jsonl, if there is more than one round]",
            options.file,
        ),
    ] = None
    summary: Annotated[
        bool,
        flag(
            "--summary",
            "Record of each round what statistics need, less than 2 KB, instead of its outcome.",
        ),
    ] = False
    no_record: Annotated[bool, flag("--no-record", "Write no record of many rounds.")] = False

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if self.until_differs and self.limits.single:
            raise UsageError("--until-differs needs more than one round", "leave out --repeat 1")
        if self.record and self.no_record:
            raise UsageError("--record and --no-record exclude each other", "give one of them")
        if self.summary and not self.recorded:
            raise UsageError("--summary needs a record", "give --record FILE")
        wanted = forms.of(self.formats)
        for target in wanted:
            if target.form in OF_ONE_ROUND and not (self.one_round and len(self.files) == 1):
                raise UsageError(
                    f"--format {target.form} shows one round of one variant of one file",
                    "leave out what makes more, or take another form",
                )
        if self.dry_run:
            dryrun.check_forms(wanted)

    @property
    def limits(self) -> Limits:
        """When the run ends."""
        rounds = self.repeat or (None if self.duration or self.until_differs else 1)
        return Limits(rounds, self.duration, self.until_differs)

    @cached_property
    def triggers(self) -> tuple[Via, ...]:
        """The triggers of --via; UsageError if one is unknown."""
        names = [] if self.via is None else self.via.split(",")
        for name in names:
            if name not in [*Via]:
                raise UsageError(
                    f"--via {self.via}: {name!r} is not a trigger",
                    f"write some of {','.join(Via)}",
                )
            if names.count(name) > 1:
                raise UsageError(f"--via {self.via}: {name} is given twice", "name each once")
        return tuple(map(Via, names))

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Every combination of the values of --vary and --via."""
        return variants(scenario.vary(*(self.vary or ())), self.triggers)

    @property
    def one_round(self) -> bool:
        """Whether each file has a single round."""
        return self.limits.single and len(self.variants) == 1

    def one_by_one(self, form: str) -> bool:
        """Tell whether each file has a report of its own, as `oomctl declare` prints it."""
        return self.one_round and form in AS_DECLARED

    @property
    def recorded(self) -> bool:
        """Whether the rounds go to a file that stays."""
        return self.record is not None or not (self.limits.single or self.no_record)

    def for_record(self, parent: str | None) -> dict[str, Any]:
        """Return the options as a record's header has them."""
        return {
            "repeat": self.limits.rounds,
            "for_s": self.duration,
            "until_differs": self.until_differs,
            "same_tree": self.same_tree,
            "parent": parent,
            "timeout_s": self.timeout,
            "set": list(self.settings or ()),
            "vary": list(self.vary or ()),
            "via": self.via.split(",") if self.via else [],
        }

    def planners(self, parent: str | None) -> list[VariantPlanner]:
        """Load the files, each as every variant has it; ScenarioError with all their faults."""
        memory = meminfo.total()
        texts: dict[Path, str] = {}
        settings = self.settings or ()
        per_variant = [
            scenario.load_all(self.files, settings, memory, variant.overrides, texts)
            for variant in self.variants
        ]
        site = Site(unique_name, memory, parent, self.timeout)
        return [
            VariantPlanner(each, self.variants, site) for each in zip(*per_variant, strict=True)
        ]


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
