"""`oomctl declare`: options become a scenario and a plan, the outcome a report and an exit code."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oomctl.cli import consent, dryrun, forms, hog_options, kept, options
from oomctl.cli.command import CACHE, RUN_DIR, command
from oomctl.cli.exitcodes import CodedCommand, ExitCodes
from oomctl.cli.options import duration, flag, integer, value
from oomctl.errors import Exit, UsageError
from oomctl.oom.plan import INT32_MAX, INT32_MIN, MAX_HOGS, UINT64_MAX, Hog, Plan
from oomctl.report import RENDERERS, Format
from oomctl.units import Duration

if TYPE_CHECKING:
    from oomctl.experiment.session import Session
    from oomctl.oom.outcome import Outcome


@dataclass(frozen=True)
class DeclareOptions:
    """The options of `oomctl declare`; UsageError if they exclude each other."""

    cgroup: options.Cgroup = None
    is_global: options.Global = False
    yes: options.Yes = False
    order: Annotated[
        int,
        value(
            "N",
            "Allocation order, passed to the kfunc as it is: 11 and -1 show its -EINVAL.",
            integer(INT32_MIN, INT32_MAX),
        ),
    ] = 0
    wait: Annotated[
        bool | None,
        flag(
            "--wait/--no-wait",
            "Wait for oom_lock, or get -EBUSY if it is held. [default: wait for a cgroup, do not "
            "wait for --global, as the kfunc's documentation advises]",
        ),
    ] = None
    flags: Annotated[
        int | None,
        value(
            "N",
            "Raw flags instead of --wait or --no-wait; all but 0 and 1 are -EINVAL.",
            integer(0, UINT64_MAX),
        ),
    ] = None
    hogs: Annotated[
        int | None, value("N", "Add N hogs of --size each; 0 adds none.", integer(0, MAX_HOGS))
    ] = None
    size: Annotated[
        int | None, value("SIZE", "Size of each of --hogs. [default: 32M]", options.size)
    ] = None
    hog: Annotated[
        list[str] | None,
        value(
            "[NAME=]SIZE[,adj=N]",
            "Add a hog, with an oom_score_adj if given; may be repeated. [default: "
            f"{' '.join(hog_options.DEFAULT_HOGS)}]",
        ),
    ] = None
    memory_max: Annotated[
        str | None,
        value(
            "SIZE",
            "memory.max of the fresh cgroup. A point of oom_score_adj weighs a thousandth of it. "
            "[default: max, no limit]",
            options.limit,
        ),
    ] = None
    swap_max: Annotated[
        str | None,
        value("SIZE", "memory.swap.max of the fresh cgroup. [default: 0]", options.limit),
    ] = None
    oom_group: Annotated[
        bool, flag("--oom-group", "Set memory.oom.group in the fresh cgroup: all hogs die.")
    ] = False
    repeat: Annotated[
        int,
        value(
            "N",
            "Declare N times on the same tree, each time after the last victims are gone.",
            integer(1, 100_000),
        ),
    ] = 1
    back_to_back: Annotated[
        bool,
        flag(
            "--back-to-back",
            "With --repeat: do not wait for the last victims, so that a call may find one that is "
            "still dying.",
        ),
    ] = False
    timeout: Annotated[Duration, value("TIME", options.LIMIT, duration(0.1, 86_400))] = Duration(30)
    formats: Annotated[forms.Given, forms.option(Format, "With --dry-run: table or json.")] = None
    exit_codes: ExitCodes = "default"
    output: options.OutputFile = None
    record: Annotated[
        Path | None,
        value("FILE", "Also write the round there, as `oomctl run` does; it must not exist yet."),
    ] = None
    dry_run: options.DryRun = False
    keep: Annotated[bool, flag("--keep", "Leave the fresh cgroups and the hogs that survive.")] = (
        False
    )

    def __post_init__(self) -> None:
        """Check the options against each other."""
        if self.cgroup is not None and self.is_global:
            raise UsageError("--cgroup and --global exclude each other", "give one of them")
        if self.flags is not None and self.wait is not None:
            raise UsageError("--flags and --wait/--no-wait exclude each other", "give one of them")
        if self.back_to_back and self.repeat == 1:
            raise UsageError("--back-to-back needs --repeat N", "say how many calls to make")
        limited = self.memory_max is not None or self.swap_max is not None or self.oom_group
        if self.cgroup is not None and limited:
            raise UsageError(
                "--memory-max, --swap-max and --oom-group belong to a fresh cgroup, not to "
                "--cgroup",
                "set them in that cgroup yourself; oomctl does not change what it has not made",
            )
        hogs = self.planned_hogs
        if self.is_global and not hogs and limited:
            raise UsageError("limits need a fresh cgroup, and --global --hogs 0 makes none")
        if self.keep and not hogs and (self.cgroup is not None or self.is_global):
            raise UsageError("--keep has no effect, since nothing is made", "leave out --keep")
        if self.dry_run:
            dryrun.check_forms(forms.of(self.formats))

    @cached_property
    def planned_hogs(self) -> tuple[Hog, ...]:
        """The hogs that are wanted; the default ones are not added to an existing cgroup."""
        given = [hog_options.parse_hog(text) for text in self.hog or ()]
        if self.cgroup is not None and not given and self.hogs is None and self.size is None:
            return ()
        return hog_options.plan_hogs(given, self.hogs, self.size)

    def plan(self) -> Plan:
        """Return the plan; UsageError or UnsupportedError if the target cannot be one."""
        from oomctl.experiment.naming import unique_name
        from oomctl.oom.enums import Until
        from oomctl.proc import meminfo
        from oomctl.scenario.model import Call
        from oomctl.scenario.planning import Existing, Site, plan
        from oomctl.scenario.scenario import of_options

        target, existing = None, None
        if self.cgroup is not None:
            from oomctl.cgroup import hierarchy

            node = hierarchy.find_cgroup(hierarchy.unified_root(), self.cgroup)
            hierarchy.require_target(node, f"--cgroup {self.cgroup}: ")
            existing = Existing(node.cgroup, hierarchy.children_get(node))
            target = node.cgroup
        written = of_options(
            self.planned_hogs,
            Call(
                target=target,
                is_global=self.is_global,
                order=self.order,
                wait=self.wait,
                flags=self.flags,
                repeat=self.repeat,
                until=Until.RETURNED if self.back_to_back else Until.EXITED,
            ),
            memory_max=self.memory_max,
            swap_max=self.swap_max,
            oom_group=self.oom_group,
            timeout=self.timeout,
        )
        site = Site(unique_name, meminfo.total(), existing=existing)
        return replace(plan(written, site), keep=self.keep)


def _recorded(path: Path, session: "Session", todo: Plan) -> "Outcome":
    """Run the round, and write it to a record as `oomctl run` does."""
    from oomctl.rounds.loop import Limits
    from oomctl.rounds.record import open_records
    from oomctl.rounds.series import RecordedScenario, Series
    from oomctl.rounds.variant import PlannedVariant, Variant, variant_record

    planned = PlannedVariant(variant_record(Variant(""), todo), lambda: todo)
    options: dict[str, Any] = {
        "repeat": 1,
        "for_s": None,
        "until_differs": False,
        "same_tree": False,
    }
    options |= {"parent": None, "timeout_s": todo.timeout, "set": [], "vary": [], "via": []}
    with open_records(["declare"], path, kept=True) as (record,):
        series = Series(
            [RecordedScenario("declare", "", "", (planned,), record)], Limits(), options
        )
        rounds = series.run(session)
        _scenario, outcome = next(rounds)
        if outcome is None:
            next(rounds)  # raises why
    assert outcome  # noqa: S101
    return outcome


@command(
    "every call killed a task",
    "a call killed none, or the kernel refused it",
    environment=[CACHE, RUN_DIR],
    cls=CodedCommand,
)
def declare(given: DeclareOptions) -> None:
    """Declare OOM on a cgroup; show the victims and the return value.

    Without options it makes a cgroup with three hogs of different size and declares OOM on it
    once: the largest should die. Everything that it makes is removed again.

    Examples:
      oomctl declare
      oomctl declare --hog big=64M --hog small=16M,adj=1000 --memory-max 128M
      oomctl declare --hogs 4 --size 16M --oom-group --format json
      oomctl declare --cgroup /sys/fs/cgroup/mytest --no-wait
      oomctl declare --order 11          # -EINVAL is a result
    """
    todo = given.plan()
    with forms.Places(forms.of(given.formats), given.output) as places:
        if given.dry_run:
            more = []
            if given.record:
                from oomctl.rounds.record import Record

                with Record(given.record):  # no round goes to it, so nothing is left of it
                    more = [f"rounds  recorded in {given.record}"]
            dryrun.write(places, [("declare", "", todo)], more)
            return
        from oomctl.experiment.environment import require_machine
        from oomctl.experiment.session import Session
        from oomctl.report.json_forms import render_kept

        if given.is_global:
            consent.require_consent(given.yes, "--global")
        root, kfunc = require_machine()
        with Session(root, kfunc, partial(consent.confirm, yes=given.yes)) as session:
            session.drawn = True
            outcome = _recorded(given.record, session, todo) if given.record else session.run(todo)
        kept.keep("declare", lambda: render_kept(outcome))
        places.write(RENDERERS, outcome)
        kept.next_step(given.formats)
        if outcome.failure:
            raise outcome.failure
    raise typer.Exit(Exit.OK if outcome.verdict.as_wanted else Exit.NOT_AS_WANTED)
