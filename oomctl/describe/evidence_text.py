"""The evidence of an outcome in words: its sources, whether they agree, and what it may lack."""

from collections.abc import Iterator

from oomctl.describe.task_text import task_notes
from oomctl.oom.as_text import pid_list
from oomctl.oom.counts import Difference, KillCounts
from oomctl.oom.enums import CountRule, EvidenceSource
from oomctl.oom.outcome import Evidence, Outcome
from oomctl.text import counted


def evidence_text(evidence: Evidence) -> str:
    """Name the sources that a report of kills rests on, and say whether they agree."""
    if evidence.source == EvidenceSource.WAIT_STATUS:
        return "the wait status of each process; the kernel does not log what cgroup.kill kills"
    if evidence.source == EvidenceSource.KERNEL_LOG:
        reason = evidence.no_tracing_reason
        return f"the kernel log alone{f', without BPF tracing: {reason}' if reason else ''}"
    if evidence.silent:
        programs = ", ".join(evidence.silent)
        return f"the kernel log, and BPF tracing in part: {programs} attached, but silent"
    if evidence.agree is None:
        return f"BPF tracing and kernel log, {counted(evidence.lost, 'event')} lost"
    if evidence.agree:
        return "BPF tracing and kernel log agree"
    seen, logged = pid_list(evidence.seen), pid_list(evidence.logged)
    return f"BPF tracing saw {seen} killed, the kernel log names {logged}"


def counts_text(found: KillCounts) -> str:
    """Say how many kills each source has counted, and why they differ, or that it is not known."""
    counts = ", ".join(
        f"{source} {'-' if count is None else count}" for source, count in found.counts.items()
    )
    causes = [_cause(each) for each in found.differences]
    if found.suppressed:
        causes.append(f"{counted(found.suppressed, 'report')} suppressed by the rate limit")
    return "; ".join([counts, *causes])


def _cause(difference: Difference) -> str:
    number, source = abs(difference.number), difference.source
    match difference.rule:
        case CountRule.REPEATED:
            victims = "first victim of a group is", "first victims of groups are"
            return f"{counted(number, *victims)} counted twice"
        case CountRule.SHARER:
            return f"{counted(number, 'sharer')} killed without a record and a count"
        case CountRule.EXITING:
            return f"{counted(number, 'exiting task')} only marked"
        case CountRule.LOST:
            return f"{source} lost {number}"
        case CountRule.SILENT:
            return f"{source} missed {number}, programs were silent"
        case CountRule.ELSEWHERE:
            return f"{counted(number, 'kill')} elsewhere on the machine"
        case CountRule.UNPLACED:
            where = "a cgroup that is" if number == 1 else "cgroups that are"
            return f"{counted(number, 'kill')} in {where} gone, new or unknown"
    more = "fewer" if difference.number > 0 else "more"
    return f"NOT EXPLAINED: {source} has {number} {more} than the kernel counted"


def outcome_notes(outcome: Outcome) -> Iterator[str]:
    """Yield what a reader must know to trust a report: lost events, a failure, odd tasks."""
    if outcome.log_lost:
        lost = counted(
            outcome.log_lost,
            "event or record of the kernel log was",
            "events or records of the kernel log were",
        )
        yield f"{lost} overwritten unread; a kill may be missing"
    if outcome.failure:
        yield f"the plan was not carried out to its end: {outcome.failure}"
    for task in outcome.tasks:
        yield from task_notes(task)
    yield from outcome.notes
