"""The options of `oomctl run`, checked against each other."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from oomctl import scenario
from oomctl.cli import completion, dryrun, forms, options
from oomctl.cli.exitcodes import ExitCodes
from oomctl.cli.options import flag, integer, value
from oomctl.errors import UsageError
from oomctl.experiment.naming import unique_name
from oomctl.oom.enums import Via
from oomctl.proc import meminfo
from oomctl.report import Format
from oomctl.rounds.loop import Limits
from oomctl.rounds.variant import Variant, VariantPlanner, variants
from oomctl.scenario.planning import Site
from oomctl.units import Duration

_OF_ONE_ROUND: tuple[Format, ...] = ("trace",)
_AS_DECLARED: tuple[Format, ...] = ("table", "markdown", *_OF_ONE_ROUND)
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
            if target.form in _OF_ONE_ROUND and not (self.one_round and len(self.files) == 1):
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
        return self.one_round and form in _AS_DECLARED

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
