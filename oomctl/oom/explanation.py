"""Why the OOM killer of a report chose its victim, as far as the report tells. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace

from oomctl.oom import dumped
from oomctl.oom.dumped import TotalPages, totalpages
from oomctl.oom.enums import Constraint, Role
from oomctl.oom.kill import OomKill
from oomctl.oom.log.logrecord import Record
from oomctl.oom.log.oomreport import OomEnd, OomReport
from oomctl.oom.log.reports import ReportsFromLog
from oomctl.oom.memorykinds import Memory, memory_of
from oomctl.oom.prediction import Prediction, predict
from oomctl.oom.reason import Reason, reason_of_kill
from oomctl.oom.task import OOM_SCORE_ADJ_MIN, Task

_MEMBERS_MAX = 1 << 12
_REMEMBERED = 1 << 8  # victims, that later dumps may still have


@dataclass(frozen=True)
class Explanation:
    """What a report says, and what follows from it; `number` counts the reports of a log from 1.

    `follows` says whether the victim is the first by the badness of the dump; it is None if that
    cannot be told, for the reason in `doubt`. `missing` names what the text does not hold.
    `repeats` counts reports without a kill, like this one, that came right after it.
    """

    number: int
    report: OomReport
    totalpages: TotalPages
    prediction: Prediction | None
    reason: Reason | None
    follows: bool | None
    doubt: str
    memory: Memory | None
    missing: tuple[str, ...]
    repeats: int = 0


def explanations(records: Iterable[Record], reports: ReportsFromLog) -> Iterator[Explanation]:
    """Yield an explanation of each report in the records as soon as it is complete."""
    taken: deque[tuple[str, int]] = deque(maxlen=_REMEMBERED)
    held: Explanation | None = None
    for number, report in enumerate(collected(records, reports), 1):
        before = {pid for host, pid in taken if host == report.host} if report.tasks else set()
        now = explain(number, report, before)
        if report.end is OomEnd.KILLED and report.victim:
            taken.append((report.host, report.victim.pid))
        if held and _repeats(held.report, report):
            held = replace(held, repeats=held.repeats + 1)
            continue
        if held:
            yield held
        held = now
    if held:
        yield held


def collected(records: Iterable[Record], reports: ReportsFromLog) -> Iterator[OomReport]:
    """Yield the reports, each with the members of the group that died with its victim."""
    held: OomReport | None = None
    members: list[OomReport] = []
    for report in _with_groups(records, reports):
        is_more = held and report.is_member and report.host == held.host
        if is_more and len(members) < _MEMBERS_MAX:
            members.append(report)
            continue
        # a panic because no task is eligible comes after the record that says so
        if held and report.panic and not report.has_report and held.end is OomEnd.NO_TASK:
            held = replace(held, end=report.end, panic=report.panic)
            continue
        if held:
            yield _with_members(held, members)
        held, members = report, []
    if held:
        yield _with_members(held, members)


def _with_members(report: OomReport, members: Iterable[OomReport]) -> OomReport:
    victims = tuple(each.victim for each in members if each.victim)
    return replace(report, members=victims) if victims else report


def _with_groups(records: Iterable[Record], reports: ReportsFromLog) -> Iterator[OomReport]:
    held: OomReport | None = None
    for record in records:
        report = reports.read(record)
        if held and reports.named and reports.named[0] is held:
            held = reports.named[1]
        if report:
            if held:
                yield held
            held = report
    if held:
        yield held
    yield from reports.finish()


def _repeats(before: OomReport, report: OomReport) -> bool:
    """Tell whether a report says the same as the one before it: that no task is eligible."""
    return before.end is report.end is OomEnd.NO_TASK and (
        before.memcg,
        before.stat_of,
        before.invoker_comm,
        before.host,
    ) == (report.memcg, report.stat_of, report.invoker_comm, report.host)


def explain(number: int, report: OomReport, taken: Set[int] = frozenset()) -> Explanation:
    """Explain one report; `taken` are PIDs that were killed before it."""
    total = totalpages(report)
    prediction = reason = None
    if report.tasks and (total.least is not None or not adj_matters(report)):
        found = dumped.tasks(report, taken)
        prediction = predict(found, total.least or 0, report.page_size, frozenset())
        if report.victim:
            reason = reason_of_kill(prediction, _chosen(report))
    follows, doubt = _follows(report, total, prediction)
    if follows is not True and prediction and _are_all_one(report, prediction):
        follows = True
        doubt = "kernels before 5.9 count badness below 1 as 1, and the first of equals is chosen"
        reason = reason and replace(reason, within_error=None)
    return Explanation(
        number=number,
        report=report,
        totalpages=total,
        prediction=prediction,
        reason=reason,
        follows=follows,
        doubt=doubt,
        memory=memory_of(report),
        missing=tuple(_missing(report, total)),
    )


def _chosen(report: OomReport) -> OomKill:
    """Return the choice of the OOM killer: before 5.1 a child of the chosen task may die."""
    victim = report.victim
    assert victim  # noqa: S101
    return OomKill(
        at_ns=0,
        pid=report.process_of(victim.chosen_pid or victim.pid),
        comm=victim.comm,
        role=Role.VICTIM,
        rss=victim.rss or 0,
        allocating=report.allocating,
    )


def _follows(
    report: OomReport, total: TotalPages, prediction: Prediction | None
) -> tuple[bool | None, str]:
    """Tell whether the choice follows from the dump; if that is not certain, why."""
    if not report.tasks:
        return None, "there is no task dump"
    if report.end is OomEnd.NO_TASK or not report.victim:
        chosen = prediction.victims if prediction else ()
        if report.end is not OomEnd.NO_TASK:
            return None, "the log does not name a victim"
        return not chosen, "the dump has tasks that may be killed" if chosen else ""
    if report.allocating:
        return None, "vm.oom_kill_allocating_task takes the invoker, whatever its badness"
    pid = report.process_of(report.victim.chosen_pid or report.victim.pid)
    if prediction is None:
        return None, f"totalpages is unknown: {total.unknown} is missing"
    scored = {one.task.pid: one.task for one in prediction.candidates if one.badness is not None}
    if pid not in scored:
        return None, "the victim is not in the task dump, or not eligible by it"
    if pid in prediction.close:
        return True, "the first ones are too close to call"
    low, high = _weights(prediction, scored[pid])
    least = (total.least or 0) // 1000
    most = None if total.most is None else total.most // 1000
    if low <= least and (high is None or (most is not None and most <= high)):
        return True, ""
    low, tops = max(low, least), [each for each in (high, most) if each is not None]
    if tops and low > min(tops):
        first = next(iter(scored.values()))
        return False, f"by the dump {first.comm} (pid {first.pid}) is the first"
    span = f"{low:,} to {min(tops):,}" if tops else f"at least {low:,}"
    return None, f"it follows if a point of oom_score_adj weighs {span} pages"


def _are_all_one(report: OomReport, prediction: Prediction) -> bool:
    """Tell whether a kernel before 5.9 counts the same for each task, and one of them was chosen.

    9066e5cfb73c ("mm, oom: make the calculation of oom badness more accurate"), v5.9, ended this.
    """
    release = dumped.version(report)
    is_old = release < dumped.EXACT if release else report.is_before_5_1
    if not is_old or not report.victim or report.allocating:
        return False
    pid = report.process_of(report.victim.chosen_pid or report.victim.pid)
    scored = {each.task.pid: each.badness for each in prediction.candidates}
    return scored.get(pid) is not None and all((each or 0) <= 1 for each in scored.values())


def _weights(prediction: Prediction, task: Task) -> tuple[int, int | None]:
    """Return the least and the most that a point of oom_score_adj may weigh for a task to be first.

    None is without an end; the least is above the most if no weight makes it the first.
    """
    low, high = 0, None
    size, is_behind = task.pages(prediction.page_size), False
    for one in prediction.candidates:
        if one.badness is None or one.task is task:
            is_behind = is_behind or one.task is task
            continue
        more = size - one.task.pages(prediction.page_size)
        points = task.oom_score_adj - one.task.oom_score_adj
        if points > 0:
            low = max(low, -(more // points))
        elif points < 0:
            at_most = more // -points
            high = at_most if high is None else min(high, at_most)
        elif more < 0 or (more == 0 and not is_behind):  # of equals the first ranked is chosen
            return 1, 0
    return low, high


def adj_matters(report: OomReport) -> bool:
    """Tell whether the tasks of the dump that may be killed differ in their oom_score_adj."""
    return len({row.oom_score_adj for row in report.tasks} - {OOM_SCORE_ADJ_MIN}) > 1


def _missing(report: OomReport, total: TotalPages) -> Iterator[str]:
    """Name what the text does not hold of a report."""
    if not report.has_report:
        yield "the report: the kernel prints 10 in 5 s at most, or the text was cut"
        return
    if report.invoker_comm is None:
        yield 'the record "invoked oom-killer": invoker, order and gfp mask'
    elif report.order is None:
        yield "the order of the allocation"
    elif report.invoker_pid is None:
        yield "the invoker's PID"
    if report.end is OomEnd.UNKNOWN:
        yield 'the end, such as the record "Killed process"'
    if report.constraint is None and report.victim:
        old = report.is_before_5_1
        yield "the constraint" + (", which kernels before 5.0 do not print" if old else "")
    if report.constraint is Constraint.MEMCG:
        if report.memcg is None:
            yield "the path of the cgroup that was out of memory"
        if "memory" not in report.counters:
            yield "limit, usage and failcnt of the cgroup"
        elif not report.stat:
            yield "the memory of the cgroup by kind"
    if not report.tasks:
        yield "the task dump" + (", cut off" if report.has_dump else "")
    elif report.tasks_lost:
        yield "rows of the task dump"
    elif report.victim and all(
        row.tgid != report.process_of(report.victim.pid) for row in report.tasks
    ):
        yield "the victim's row of the task dump"
    if not total.is_exact and adj_matters(report):
        yield total.unknown
    if report.suppressed:
        yield f"the reports that were left out before this one: {report.suppressed}"
