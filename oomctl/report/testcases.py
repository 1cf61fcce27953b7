"""Fills the case table: of a declaration, of many rounds, of the smoke suite. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from oomctl.describe.call_text import call_rows
from oomctl.describe.evidence_text import outcome_notes
from oomctl.describe.machine_text import machine_line
from oomctl.oom.as_text import pid_list, returned
from oomctl.oom.enums import Moment, VerdictName
from oomctl.oom.outcome import CallReport, Check, Evidence, Outcome
from oomctl.report.casetable import CaseGroup, CaseRow, CaseTable, status_of
from oomctl.report.run_parts import rate, title
from oomctl.rounds.round import WITHOUT_OUTCOME
from oomctl.rounds.run import Run, Section
from oomctl.rounds.statistics import CheckTally, Statistics
from oomctl.smoke.case import Result
from oomctl.smoke.results import Report
from oomctl.text import counted

_RETURNED, _DIED, _EVERY_ROUND = "returned 1", "a task died", "every round ran"


def of_outcome(outcome: Outcome) -> CaseTable:
    """Return a group for each call, with a case for each expectation of it."""
    machine, notes = machine_line(outcome.environment), tuple(outcome_notes(outcome))
    groups = []
    for number, report in enumerate(outcome.calls, 1):
        name = f"call {number}"
        rows = tuple(_with_times(report, (_row(name, test) for test in expectations(report))))
        groups.append(
            CaseGroup(
                name,
                len(rows),
                rows,
                machine,
                failure=report.verdict.name,
                took_ns=report.result.duration_ns or 0,
                properties=tuple(call_rows(report)),
                log=tuple(record.text for record in report.log),
                notes=notes,
            )
        )
    remarks = (machine, *(f"note: {note}" for note in notes))
    return CaseTable("declare", tuple(groups), remarks)


def of_sections(sections: Sequence[Section]) -> CaseTable:
    """Return a group for each variant of each run; what the machine cannot do is skipped."""
    groups = [_variant(section.run, one) for section in sections for one in section.run.statistics]
    notes = [f"note: {note}" for group in groups for note in group.notes]
    remarks = (*(group.machine for group in groups), *notes)
    started = sections[0].run.header.started if sections else ""
    return CaseTable("run", tuple(groups), remarks, started=started)


def of_smoke(report: Report, verbose: bool = False) -> CaseTable:
    """Return a group for each group of the suite; it may lack the results that are still to come.

    If `verbose`, the checks of a case that passed are its log.
    """
    groups = []
    for name in report.groups:
        results = report.of_group(name)
        groups.append(
            CaseGroup(
                name,
                sum(case.group == name for case in report.cases),
                tuple(of_result(one, verbose) for one in results),
                report.machine,
                failure="contract",
                took_ns=sum(one.took_ns for one in results),
            )
        )
    signature = (report.environment.get("kfunc") or {}).get("signature")
    kfunc = signature or "this kernel has no bpf_out_of_memory()"
    remarks = (report.machine, kfunc)
    return CaseTable("smoke", tuple(groups), remarks, report.summary)


def of_result(result: Result, verbose: bool = False) -> CaseRow:
    """Return the case of a result; of several rounds its number is the share that passed."""
    group, _, name = result.name.partition(".")
    log = result.diagnostics
    if verbose and result.passed:
        log = tuple(f"{check.name}: {check.why}" for check in result.checks)
    row = CaseRow(group, name, status_of(result.passed), result.why, log, result.took_ns)
    if result.rounds < 2 or result.passed is None:
        return row
    return replace(row, number=100 * result.good / result.rounds, unit="%")


def _row(group: str, test: Check) -> CaseRow:
    return CaseRow(group, test.name, status_of(test.passed), test.why, (test.why,))


def _with_times(report: CallReport, rows: Iterable[CaseRow]) -> Iterator[CaseRow]:
    """Yield the cases of a call; the first two have the time to the return, and to SIGKILL."""
    times = {
        _RETURNED: report.result.duration_ns,
        _DIED: report.timeline.after_call(Moment.KILLED),
    }
    for row in rows:
        took = times.get(row.name)
        yield row if took is None else replace(row, number=took / 1e6, unit="ms")


def _variant(run: Run, one: Statistics) -> CaseGroup:
    unsupported = run.end is not None and run.end.why == "unsupported"
    skip = run.end.reason or run.end.why if run.end and unsupported else ""
    properties = [("rounds", rate(one))]
    properties += [(f"verdict {verdict}", str(n)) for verdict, n in one.verdicts.items()]
    if run.end and run.end.why != "done":
        properties.append(("ended", ": ".join(filter(None, (run.end.why, run.end.reason)))))
    name = title(run, one)
    if unsupported:
        rows: tuple[CaseRow, ...] = (_row(name, Check(_EVERY_ROUND, None, skip)),)
    else:
        rows = tuple(_over_rounds(name, one))
    return CaseGroup(
        name,
        len(rows),
        rows,
        machine_line(run.header.environment),
        failure="expectation",
        took_ns=one.took_ns,
        properties=tuple(properties),
        notes=run.remarks,
        skip=skip,
    )


def expectations(report: CallReport) -> tuple[Check, ...]:
    """Return the tests of one call; every call has tests of the same names."""
    verdict, died = report.verdict, bool(report.victims)
    return (
        Check(_RETURNED, report.result.ret == 1, f"returned {returned(report.result.ret)}"),
        Check(_DIED, died, verdict.reason),
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


def _over_rounds(group: str, one: Statistics) -> Iterator[CaseRow]:
    """Yield that every round ran, and each expectation with the share of rounds it held in."""
    without = "; ".join(
        f"{count} {verdict}: {one.reasons.get(verdict, '')}"
        for verdict, count in one.verdicts.items()
        if verdict in WITHOUT_OUTCOME
    )
    ran = without or f"{one.ran} of {counted(one.rounds, 'round')}"
    row = _row(group, Check(_EVERY_ROUND, 0 < one.ran == one.rounds, ran))
    yield row if one.rate is None else replace(row, number=one.rate, unit="rounds/s")
    for tally in one.checks:
        row, tested = _row(group, _tallied(tally, one.rounds)), tally.held + tally.failed
        yield replace(row, number=100 * tally.held / tested, unit="%") if tested else row


def _tallied(tally: CheckTally, rounds: int) -> Check:
    why = f"held in {tally.held} of {counted(rounds, 'round')}"
    if tally.failed:
        return Check(tally.name, False, f"{why}; round {tally.first}: {tally.why}")
    return Check(tally.name, True if tally.held else None, why)
