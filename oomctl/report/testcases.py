"""What is expected of a call by itself, and of many rounds, as tests for harnesses. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oomctl.describe.call_text import call_rows
from oomctl.describe.evidence_text import outcome_notes
from oomctl.describe.machine_text import machine_line
from oomctl.oom.as_text import pid_list, returned
from oomctl.oom.enums import VerdictName
from oomctl.oom.outcome import CallReport, Check, Evidence, Outcome
from oomctl.report.run_parts import rate, title
from oomctl.rounds.round import WITHOUT_OUTCOME
from oomctl.rounds.run import Run, Section
from oomctl.rounds.statistics import CheckTally, Statistics
from oomctl.text import counted


@dataclass(frozen=True)
class Suite:
    """The tests of one call or of one variant.

    `failure` is the type of a failure, `log` the kernel log. A suite with a reason to `skip` has
    not been run.
    """

    name: str
    tests: tuple[Check, ...]
    took_ns: int
    properties: tuple[tuple[str, str], ...]
    machine: str
    failure: str
    log: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skip: str = ""


def call_suites(outcome: Outcome) -> list[Suite]:
    """Return a suite for each call."""
    machine, notes = machine_line(outcome.environment), tuple(outcome_notes(outcome))
    return [
        Suite(
            name=f"call {number}",
            tests=expectations(report),
            took_ns=report.result.duration_ns or 0,
            properties=tuple(call_rows(report)),
            machine=machine,
            failure=report.verdict.name,
            log=tuple(record.text for record in report.log),
            notes=notes,
        )
        for number, report in enumerate(outcome.calls, 1)
    ]


def run_suites(sections: Sequence[Section]) -> list[Suite]:
    """Return a suite for each variant of each run; what the machine cannot do is skipped."""
    return [_variant(section.run, one) for section in sections for one in section.run.statistics]


def _variant(run: Run, one: Statistics) -> Suite:
    unsupported = run.end is not None and run.end.why == "unsupported"
    skip = run.end.reason or run.end.why if run.end and unsupported else ""
    properties = [("rounds", rate(one))]
    properties += [(f"verdict {verdict}", str(n)) for verdict, n in one.verdicts.items()]
    if run.end and run.end.why != "done":
        properties.append(("ended", ": ".join(filter(None, (run.end.why, run.end.reason)))))
    return Suite(
        name=title(run, one),
        tests=(Check("every round ran", None, skip),) if unsupported else tuple(_over_rounds(one)),
        took_ns=one.took_ns,
        properties=tuple(properties),
        machine=machine_line(run.header.environment),
        failure="expectation",
        notes=run.remarks,
        skip=skip,
    )


def expectations(report: CallReport) -> tuple[Check, ...]:
    """Return the tests of one call; every call has tests of the same names."""
    verdict, died = report.verdict, bool(report.victims)
    return (
        Check("returned 1", report.result.ret == 1, f"returned {returned(report.result.ret)}"),
        Check("a task died", died, verdict.reason),
        Check(
            "only one victim or one group died",
            verdict.name != VerdictName.OVER_KILL if died else None,
            verdict.reason if died else "no task died",
        ),
        _as_predicted(report),
        _sources_agree(report.evidence),
    )


def _as_predicted(report: CallReport) -> Check:
    name, prediction = "as predicted", report.prediction
    if prediction is None or report.as_predicted is None:
        why = "nothing was predicted" if prediction is None else "no task was chosen"
        return Check(name, None, why)
    why = f"predicted {pid_list(prediction.victims)}, killed {pid_list(report.victims)}"
    if not report.as_predicted and report.too_close:
        return Check(name, None, f"too close to call: {why}")
    return Check(name, report.as_predicted, why)


def _sources_agree(evidence: Evidence) -> Check:
    why = f"ring buffer {pid_list(evidence.seen)}, kernel log {pid_list(evidence.logged)}"
    if evidence.agree is None:
        lost = counted(evidence.lost, "event or record was lost", "events or records were lost")
        why = lost if evidence.lost else evidence.no_tracing_reason or f"only the {evidence.source}"
    return Check("sources agree", evidence.agree, why)


def _over_rounds(one: Statistics) -> Iterator[Check]:
    """Yield that every round ran, then each expectation over all rounds."""
    without = "; ".join(
        f"{count} {verdict}: {one.reasons.get(verdict, '')}"
        for verdict, count in one.verdicts.items()
        if verdict in WITHOUT_OUTCOME
    )
    ran = without or f"{one.ran} of {counted(one.rounds, 'round')}"
    yield Check("every round ran", 0 < one.ran == one.rounds, ran)
    yield from (_tallied(tally, one.rounds) for tally in one.checks)


def _tallied(tally: CheckTally, rounds: int) -> Check:
    why = f"held in {tally.held} of {counted(rounds, 'round')}"
    if tally.failed:
        return Check(tally.name, False, f"{why}; round {tally.first}: {tally.why}")
    return Check(tally.name, True if tally.held else None, why)
