"""One round, reduced to what statistics need; made from its line of the record. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from oomctl.oom.as_text import returned
from oomctl.oom.enums import Moment
from oomctl.oom.expectation import KILLED
from oomctl.oom.outcome import Check
from oomctl.oom.plan import WAIT_ON_OOM_LOCK

NOT_FILLED, FAILED = "not-filled", "failed"
WITHOUT_OUTCOME = (NOT_FILLED, FAILED)
"""The verdicts of a round that has no outcome."""

TIMES = ("lock_wait", "in_the_call", "to_marked", "to_killed", "dying", "to_exited", "to_relieved")
"""Durations in ns, all from the call except `dying`, which is from SIGKILL to the exit."""

BY_THE_KERNEL = ("killed", "collateral", "stranger")
"""What `Casualty.how` is for a killed task: a hog, a task outside the target that shared the
memory of a victim, and a task that is not a hog."""

_MOMENTS = {
    "lock_wait": Moment.LOCKED,
    "to_marked": Moment.MARKED,
    "to_killed": Moment.KILLED,
    "to_relieved": Moment.RELIEVED,
}


@dataclass(frozen=True)
class Called:
    """One call and its return value.

    `together` is the number of simultaneous calls. With `rechecks` the caller tried again,
    `attempts` times, instead of waiting; `spared` says that it then found the memory freed.
    """

    returned: str
    verdict: str
    waits: bool
    together: int = 1
    rechecks: bool = False
    attempts: int = 1
    spared: bool = False


@dataclass(frozen=True)
class Casualty:
    """A task that did not survive: its hog's entry in the scenario, or else its comm.

    `how` is one of BY_THE_KERNEL if it was killed, else its fate.
    """

    name: str
    how: str

    @property
    def text(self) -> str:
        """What became of it: `died large`, `died init (stranger)`, `helper (ended)`."""
        died = "died " if self.how in BY_THE_KERNEL else ""
        return f"{died}{self.name}{'' if self.how == 'killed' else f' ({self.how})'}"


@dataclass(frozen=True)
class Round:
    """The result of one round of one variant; it has no calls if its hogs could not be filled."""

    variant: str
    number: int
    verdict: str
    reason: str
    ran: bool
    took_ns: int = 0
    calls: tuple[Called, ...] = ()
    casualties: tuple[Casualty, ...] = ()
    times: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    log_bytes: int = 0
    rises: Mapping[str, int] = field(default_factory=dict)
    dying: int | None = None
    own_rss: int | None = None
    checks: tuple[Check, ...] = ()

    @property
    def held(self) -> bool:
        """Whether it has an outcome and no expectation failed."""
        return self.ran and all(check.passed is not False for check in self.checks)

    def difference(self, other: "Round") -> str | None:
        """Say how it differs from another in verdict, victims or returns; None if it does not."""
        for what, mine, theirs in (
            ("verdict", [self.verdict], [other.verdict]),
            ("victims", _victims(self), _victims(other)),
            ("returns", _returns(self), _returns(other)),
        ):
            if mine != theirs:
                return f"{what} {_counted(mine)} instead of {_counted(theirs)}"
        return None


def round_of(line: Mapping[str, Any], rechecking: Set[int] = frozenset()) -> Round:
    """Make a round from its line; `rechecking` has the indices of steps whose callers recheck.

    Raises KeyError, TypeError or AttributeError for another kind of line.
    """
    outcome = line["outcome"]
    without_outcome = Round(
        str(line["variant"]),
        int(line["round"]),
        str(line["verdict"]),
        str(line["reason"]),
        ran=outcome is not None,
        took_ns=int(line["took_ns"]),
    )
    if outcome is None:
        summary = line.get("summary")
        return _summed(without_outcome, summary) if summary else without_outcome
    calls = outcome["calls"]
    together = Counter((call["step"], call["turn"]) for call in calls)
    times: dict[str, list[int]] = {name: [] for name in TIMES}
    for name, duration in _times(calls, outcome["tasks"]):
        times[name].append(int(duration))
    return replace(
        without_outcome,
        calls=tuple(
            Called(
                returned=_returned(call),
                verdict=str(call["verdict"]),
                waits=bool(call["flags"] & WAIT_ON_OOM_LOCK),
                together=together[call["step"], call["turn"]],
                rechecks=call["step"] in rechecking,
                attempts=int(call["attempts"]),
                spared=bool(call["spared"]),
            )
            for call in calls
        ),
        casualties=tuple(_casualties(outcome["tasks"])),
        times={name: tuple(durations) for name, durations in times.items() if durations},
        log_bytes=sum(len(record["text"]) + 1 for call in calls for record in call["log"]),
        rises=_rises(outcome),
        dying=_whole(outcome["nr_dying_descendants"]),
        own_rss=_whole(outcome["own_rss_bytes"]),
        checks=tuple(
            Check(str(check["name"]), check["passed"], str(check["why"]))
            for check in outcome["checks"]
        ),
    )


def _summed(one: Round, summary: Mapping[str, Any]) -> Round:
    """Return a round with what its line has of it instead of an outcome."""
    calls = []
    for row in summary["calls"]:
        fields = {name: value for name, value in row.items() if name != "count"}
        calls += [Called(**fields)] * int(row["count"])
    return replace(
        one,
        ran=True,
        calls=tuple(calls),
        casualties=tuple(Casualty(**each) for each in summary["casualties"]),
        times={name: tuple(map(int, times)) for name, times in summary["times_ns"].items()},
        log_bytes=int(summary["log_bytes"]),
        rises={name: int(rise) for name, rise in summary["events"].items()},
        dying=_whole(summary["nr_dying_descendants"]),
        own_rss=_whole(summary["own_rss_bytes"]),
        checks=tuple(Check(**each) for each in summary["checks"]),
    )


def _rises(outcome: Mapping[str, Any]) -> dict[str, int]:
    for row in outcome["events"]:
        if row["cgroup"] == outcome["top"]:
            return {name: int(rise) for name, rise in row["counters"].items()}
    return {}


def _whole(number: Any) -> int | None:
    return None if number is None else int(number)


def _returned(call: Mapping[str, Any]) -> str:
    if call["spared"]:
        return "spared"
    return returned(call["ret"])


def _casualties(tasks: Sequence[Mapping[str, Any]]) -> Iterator[Casualty]:
    for task in tasks:
        name, fate = str(task["entry"] or task["name"] or task["comm"]), str(task["fate"])
        if fate in KILLED:
            how = "collateral" if task["collateral"] else "killed" if task["name"] else "stranger"
            yield Casualty(name, how)
        elif fate != "survived":
            yield Casualty(name, fate)
        elif task["failed"]:
            yield Casualty(name, "not filled")


def _times(
    calls: Sequence[Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, int]]:
    for call in calls:
        first: dict[tuple[str, int | None], int] = {}
        for stamp in call["timeline"]:
            for key in ((stamp["name"], None), (stamp["name"], stamp["pid"])):
                first.setdefault(key, stamp["after_call_ns"])
        for name, moment in _MOMENTS.items():
            # `relieved` is stamped on all simultaneous calls; only the call that killed caused it
            if (moment, None) in first and (call["killed_pids"] or moment != "relieved"):
                yield name, first[moment, None]
        if call["duration_ns"] is not None:
            yield "in_the_call", call["duration_ns"]
        for pid in call["killed_pids"]:
            if ("killed", pid) in first and ("exited", pid) in first:
                yield "dying", first["exited", pid] - first["killed", pid]
    for task in tasks:
        if task["fate"] in KILLED and task["died_after_ns"] is not None:
            yield "to_exited", task["died_after_ns"]


def _victims(one: Round) -> list[str]:
    return sorted(each.name for each in one.casualties if each.how in BY_THE_KERNEL)


def _returns(one: Round) -> list[str]:
    return sorted(call.returned for call in one.calls)


def _counted(names: Sequence[str]) -> str:
    """List names with their number, such as `1, 7 x -EBUSY`."""
    counts = Counter(names)
    texts = (name if count == 1 else f"{count} x {name}" for name, count in counts.items())
    return ", ".join(texts) or "none"
