"""An outcome read back from its JSON, so that any renderer can show a saved one. Pure.

It has all that renderers need, and of tasks what the JSON keeps. Raises KeyError, TypeError or
ValueError for what as_json.py has not written.
"""

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from oomctl.errors import OomctlError
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.counts import Difference, KillCounts
from oomctl.oom.enums import (
    Context,
    CountRule,
    CountSource,
    Do,
    EvidenceSource,
    FateKind,
    Moment,
    Phase,
    Role,
    VerdictName,
    Via,
)
from oomctl.oom.fate import Fate
from oomctl.oom.holdings import Filled, Holdings
from oomctl.oom.kill import OomKill
from oomctl.oom.log.logrecord import Record
from oomctl.oom.outcome import (
    ActionReport,
    CallReport,
    Check,
    Environment,
    Evidence,
    Outcome,
    Sample,
    TaskReport,
)
from oomctl.oom.plan import STALL, Action, After, Call
from oomctl.oom.prediction import Candidate, Candidates, Prediction
from oomctl.oom.task import Task
from oomctl.oom.timeline import Stamp, Timeline
from oomctl.oom.verdict import Verdict

Tree = Mapping[str, Any]


def outcome(tree: Tree) -> Outcome:
    """Return the outcome of a tree of as_json.tree()."""
    machine = environment(tree["environment"])
    memory = tree["memory_current"]
    return Outcome(
        environment=machine,
        calls=tuple(_call(each, machine.page_size) for each in tree["calls"]),
        tasks=tuple(map(_task, tree["tasks"])),
        events={row["cgroup"]: dict(row["counters"]) for row in tree["events"]},
        memory_before=memory["before_bytes"],
        memory_after=memory["after_bytes"],
        log_lost=tree["log_records_lost"],
        verdict=_verdict(tree),
        notes=tuple(tree["notes"]),
        samples=tuple(
            Sample(each["at_ns"], each["cgroup"], each["bytes"]) for each in tree["samples"]
        ),
        top=tree["top"],
        checks=tuple(Check(**each) for each in tree["checks"]),
        dying=tree["nr_dying_descendants"],
        own_rss=tree["own_rss_bytes"],
        took_ns=tree["took_ns"],
        log=_log(tree["log"]),
        failure=OomctlError(tree["failure"]) if tree["failure"] else None,
        counts=_counts(tree["kill_counts"]) if tree["kill_counts"] else None,
        actions=tuple(map(_action, tree.get("actions", ()))),
    )


def _action(tree: Tree) -> ActionReport:
    cgroup, hog, file, value = (tree[name] or "" for name in ("cgroup", "hog", "file", "value"))
    action = Action(tree["step"], After(), Do(tree["do"]), cgroup, hog, file, value)
    return ActionReport(
        action, tree["at_ns"], tree["after_ns"], tree["took_ns"], tree["failed"] or ""
    )


def environment(tree: Tree) -> Environment:
    """Return the machine of a result."""
    kfunc = tree["kfunc"]
    same = ("oomctl", "kernel", "machine", "cpus", "libbpf", "oom_score_adj")
    known: dict[str, Any] = {name: tree[name] for name in same}
    known |= {name: tree[f"{name}_bytes"] for name in ("memory", "swap", "page_size")}
    known |= {name: tree[name] or "" for name in ("host", "command", "time")}
    return Environment(
        kfunc=kfunc["signature"],
        kfunc_provider=kfunc["provider"],
        kfunc_variant=kfunc["variant"],
        sysctls=dict(tree["sysctls"]),
        command_line=tree["kernel_command_line"] or "",
        **known,
    )


def _verdict(tree: Tree) -> Verdict:
    return Verdict(VerdictName(tree["verdict"]), tree["reason"])


def _call(tree: Tree, page_size: int) -> CallReport:
    began, took = tree["began_ns"], tree["duration_ns"]
    evidence = tree["evidence"]
    return CallReport(
        call=Call(
            tree["target"],
            tree["order"],
            tree["flags"],
            Via(tree["via"]),
            tree["amount_bytes"],
            Context(tree["context"]),
            STALL if tree["stall_s"] is None else tree["stall_s"],
        ),
        cgroup_id=tree["cgroup_id"],
        result=CallResult(
            Stage.CALLED,
            began,
            0 if took is None else began + took,
            tree["ret"],
            timed_out=tree["timed_out"],
            caller=tree["caller_pid"] or 0,
            attempts=tree["attempts"],
            spared=tree["spared"],
            reclaimed=tree["reclaimed_bytes"],
        ),
        kills=tuple(map(_kill, tree["kills"])),
        verdict=_verdict(tree),
        evidence=Evidence(
            EvidenceSource(evidence["source"]),
            evidence["no_tracing_reason"] or "",
            frozenset(evidence["seen"] or ()),
            frozenset(evidence["logged"]),
            evidence["agree"],
            evidence["lost"],
            tuple(evidence["silent"]),
        ),
        timeline=Timeline(
            tuple(Stamp(Moment(e["name"]), e["at_ns"], e["pid"]) for e in tree["timeline"])
        ),
        prediction=prediction(tree["prediction"], page_size) if tree["prediction"] else None,
        step=tree["step"],
        turn=tree["turn"],
        collateral=frozenset(tree["collateral"]),
        gone=frozenset(tree["gone"]),
        pressure={name.removesuffix("_us"): us for name, us in (tree["pressure"] or {}).items()},
        log=_log(tree["log"]),
    )


def _kill(tree: Tree) -> OomKill:
    return OomKill(
        tree["at_ns"],
        tree["pid"],
        tree["comm"],
        Role(tree["role"]),
        tree["rss_bytes"],
        cgroup=tree["cgroup"],
        allocating=tree["allocating"],
    )


def prediction(tree: Tree, page_size: int) -> Prediction:
    """Return the prediction of a call, or of `oomctl predict`."""
    found = [_candidate(each) for each in tree["candidates"]]
    ranked = [each.task for each in found if each.badness is not None]
    # of equals the last in scan order is the first by badness
    tasks = [*reversed(ranked), *(each.task for each in found if each.badness is None)]
    return Prediction(
        candidates=tuple(found),
        totalpages=tree["totalpages"],
        page_size=page_size,
        victims=tuple(tree["victims"]),
        group=tree["group"],
        close=tuple(tree["close"]),
        instead=tuple(map(tuple, tree["instead"])),
        given=Candidates(tasks, tree["totalpages"], page_size, frozenset(tree["oom_groups"])),
    )


def _candidate(tree: Tree) -> Candidate:
    excluded = tree["excluded"] or ""
    return Candidate(_memory(tree, excluded), tree["badness_pages"], excluded)


def _memory(tree: Tree, not_eligible: str = "") -> Task:
    return Task(
        pid=tree["pid"],
        comm=tree["comm"],
        cgroup=tree["cgroup"] or "",
        oom_score_adj=tree["oom_score_adj"],
        rss=tree["rss_bytes"],
        swap=tree["swap_bytes"],
        pgtables=tree["pgtables_bytes"],
        started=0.0,
        not_eligible_reason=not_eligible,
        rss_read=tree.get("rss_read_bytes"),
        slack=tree.get("slack_bytes", 0),
    )


def _task(tree: Tree) -> TaskReport:
    filled, holds, kill = tree["filled_bytes"], tree["holds"], tree["oom_kill"]
    return TaskReport(
        task=_memory(tree),
        name=tree["name"],
        size=tree["size_bytes"],
        charged=tree["charged_bytes"],
        fate=fate(tree["fate"], tree["signal"]),
        call=tree["call"],
        died_after_ns=tree["died_after_ns"],
        badness=tree["badness_pages"],
        collateral=tree["collateral"],
        entry=tree["entry"],
        kind=tree["kind"],
        filled=None if filled is None else Filled(filled, tree["fill_ns"], tree["lost_bytes"]),
        failed=tree["failed"] or "",
        phase=Phase(tree["phase"]) if tree["phase"] else None,
        kill=_oom_kill(kill, tree) if kill else None,
        holds=_holds(holds) if holds else None,
    )


def fate(text: str, signal_name: str | None) -> Fate:
    """Return the fate that is written so."""
    number = None
    if signal_name:
        named = signal.Signals.__members__.get(signal_name)
        number = int(named if named is not None else signal_name.removeprefix("SIG"))
    kind, _, status = text.partition(" ")
    if kind == FateKind.EXITED:
        return Fate(FateKind.EXITED, status=int(status))
    for each in FateKind:
        if str(found := Fate(each, signal=number)) == text:
            return found
    raise ValueError(f"{text!r} is no fate")


def _oom_kill(tree: Tree, of: Tree) -> OomKill:
    return OomKill(
        tree["at_ns"],
        of["pid"],
        of["comm"],
        Role.VICTIM,
        of["rss_bytes"],
        memcg=tree["memcg"],
        constraint=tree["constraint"],
        group=tree["group"],
        invoker_pid=tree["invoker_pid"],
        invoker_comm=tree["invoker_comm"],
        exited_after_ns=tree["exited_after_ns"],
        traced=tree["traced"],
        logged=tree["logged"],
    )


def _holds(tree: Tree) -> Holdings:
    sizes = {
        name.removesuffix("_bytes"): size for name, size in tree.items() if name.endswith("_bytes")
    }
    return Holdings(source=tree["source"], differs=tree["differs"] or "", **sizes)


def _counts(tree: Tree) -> KillCounts:
    return KillCounts(
        {source: tree[source.name.lower()] for source in CountSource},
        tuple(
            Difference(
                CountSource[each["source"].upper()],
                each["fewer"],
                CountRule(each["rule"]) if each["rule"] else None,
            )
            for each in tree["differences"]
        ),
        tree["reports_suppressed"],
    )


def _log(rows: Sequence[Tree]) -> tuple[Record, ...]:
    return tuple(Record(row["sequence"], row["time_us"], row["text"]) for row in rows)
