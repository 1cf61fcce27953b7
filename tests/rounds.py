"""Rounds that never happened, and runs of them."""

import json
from dataclasses import replace

from oomctl.oom import as_json
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.log.logrecord import Record
from oomctl.oom.outcome import CallReport, Check
from oomctl.oom.plan import Call
from oomctl.oom.timeline import Stamp, Timeline
from oomctl.oom.verdict import Verdict, judge, overall
from oomctl.rounds.lines import end_line, header_line, round_line
from oomctl.rounds.reader import read_runs
from oomctl.rounds.run import End, RunHeader, Section, VariantRecord
from tests.outcomes import ENVIRONMENT, TARGET, TREE, Kill, M, hog, outcome, rises

MS = 1_000_000
STEP = {
    "via": "bpf",
    "target": TARGET,
    "order": 0,
    "flags": 1,
    "flag_names": "WAIT_ON_OOM_LOCK",
    "amount_bytes": None,
    "callers": 1,
    "repeat": 1,
    "delay_s": 0.0,
    "until": "exited",
    "recheck_above_bytes": None,
    "recheck_every_s": None,
}
RECHECKING = {**STEP, "flags": 0, "flag_names": "0", "recheck_above_bytes": 80 * M}
RECHECKING["recheck_every_s"] = 0.001
SCENARIO = 'description = "it shows something"\n'
NOT_FILLED = "not-filled", "the hog 'large' (64M, pid 303) cannot fill: Cannot allocate memory"


def called(
    ret, at=10**9, shift=0, flags=1, via="bpf", turn=0, kills=True, attempts=1, spared=False
):
    """One call; the first that returns 1 kills `large`."""
    took = 9 * MS + shift if ret == 1 else 20_000
    answer = CallResult(
        Stage.CALLED, at, at + took, ret, caller=900, attempts=attempts, spared=spared
    )
    kill = Kill(303, "large", 64 * M, f"{TARGET}/large")
    killed = (kill,) if kills and ret == 1 else ()
    stamps = [Stamp("call", at)]
    log = ()
    if killed:
        stamps += [
            Stamp("locked", at + 14_000),
            Stamp("killed", at + 8 * MS + shift, 303),
            Stamp("marked", at + 8 * MS + shift + 9_000, 303),
            Stamp("return", at + took),
            Stamp("exited", at + 27 * MS + 2 * shift, 303),
            Stamp("relieved", at + 32 * MS + shift),
        ]
        log = (Record(1, 1, "x" * 99), Record(2, 2, "y" * 199))
    if spared:
        verdict = Verdict("spared", "it was not needed any more")
    else:
        verdict = judge(answer, ["large (pid 303)"] * bool(killed), 0, False)
    return CallReport(
        Call(TARGET, 0, flags, via),
        4242,
        answer,
        killed,
        verdict,
        timeline=Timeline(tuple(stamps)),
        log=log,
        turn=turn,
    )


def happened(*calls, checks=(), dead="large", oom=0, dying=0, rss=35 * M):
    """An outcome of these calls, in which the hog `dead` dies of the first."""
    tasks = tuple(
        replace(row, entry=row.name)
        if row.name != dead
        else hog(row.task.pid, dead, row.size, "oom-killed", 0, 27 * MS)
        for row in TREE
    )
    made = outcome(*calls, tasks=tasks, events=rises(oom_kill=1, oom=oom, max=3 * oom))
    return replace(
        made,
        top=TARGET,
        checks=checks,
        dying=dying,
        own_rss=rss,
        took_ns=100 * MS,
        verdict=overall([call.verdict for call in calls]),
    )


def busy(number, callers=4, flags=0, shift=0):
    """A round of callers at once, one of which gets the lock; the third round expects otherwise."""
    rets = [1] + [-16 if not flags else 1] * (callers - 1)
    calls = [called(ret, shift=shift, flags=flags, kills=not n) for n, ret in enumerate(rets)]
    checks = (
        Check("victims are large", True, "killed: large"),
        Check("call 1 returns 1", number != 3, "1 once, EBUSY 3 times"),
        Check("reaped within 1.00 s", None, "that moment was not seen"),
    )
    return happened(*calls, checks=checks, dying=number // 2)


def spares(number):
    """A round of callers that recheck: one kills, the others find the memory freed."""
    calls = [called(1, flags=0)]
    calls += [called(None, flags=0, attempts=tries, spared=True) for tries in (3, 0)]
    return happened(*calls)


def head(*labels, scenario="busy", judged=True, environment=ENVIRONMENT, **more):
    steps = more.get("steps", (STEP,))
    return RunHeader(
        scenario=scenario,
        description=more.get("description", "four callers at once, one of which gets oom_lock"),
        source=more.get("source", SCENARIO),
        variants=tuple(VariantRecord(label, judged=judged, steps=steps) for label in labels),
        options={
            "repeat": more.get("repeat", 5),
            "for_s": None,
            "until_differs": False,
            "same_tree": False,
            "parent": None,
            "timeout_s": None,
            "set": [],
            "vary": [],
            "via": [],
        },
        environment=as_json.environment(environment),
        started="2026-01-27T10:15:00+01:00",
    )


def recorded(header, rounds, end=None, drawn=False):
    """The text of a record; `rounds` has (label, number, outcome or reason)."""
    lines = [header_line(header)]
    lines += [
        round_line(label, number, 200 * MS + number, result, drawn)
        for label, number, result in rounds
    ]
    end = end or End("done")
    lines.append(end_line(end, len(rounds), "2026-01-27T10:16:00+01:00"))
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def section(text):
    """The only run of a record."""
    (found,) = sections(text)
    return found


def sections(text):
    raw = text.encode()
    return [
        Section(found.run, lambda found=found: raw[found.start : found.stop].decode().splitlines())
        for found in read_runs(raw.splitlines(keepends=True), "record")
    ]


def five(flags=0, label="", shift=MS):
    """Five rounds of `busy`, the last without an outcome."""
    came = [(label, n, busy(n, flags=flags, shift=n * shift)) for n in range(1, 5)]
    return [*came, (label, 5, NOT_FILLED)]


def alone(**more):
    return recorded(head("", **more), five())


def beside():
    """Two triggers in turn, once each: the victim is the same, the counters are not."""
    limit = replace(called(1, shift=MS, via="limit", flags=0), verdict=called(1).verdict)
    limit = replace(limit, result=replace(limit.result, ret=0))
    return recorded(
        head("bpf", "limit", judged=False, scenario="largest-dies"),
        [("bpf", 1, happened(called(1))), ("limit", 1, happened(limit, oom=1))],
    )


def rechecked():
    return recorded(
        head("wait=true", "recheck", judged=False, steps=(RECHECKING,)),
        [("recheck", n, spares(n)) for n in (1, 2)]
        + [("wait=true", n, busy(n, flags=1)) for n in (1, 2)],
        End("interrupted", "SIGINT"),
    )


RECORDS = {"alone": alone(), "beside": beside(), "rechecked": rechecked()}
