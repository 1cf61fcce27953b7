"""An explained OOM report as labelled lines: what was asked, what was hit, what was killed."""

from collections.abc import Iterator, Mapping

from oomctl.describe.reason_text import reason_rows
from oomctl.oom import dumped
from oomctl.oom.as_text import task_name
from oomctl.oom.enums import Constraint
from oomctl.oom.explanation import Explanation, adj_matters
from oomctl.oom.log.oomreport import OomEnd, OomReport, PageCounter, Victim
from oomctl.oom.memorykinds import Memory
from oomctl.text import counted
from oomctl.units import format_size

_MEMBERS_SHOWN = 10
_SAYS_WHICH = (5, 0)
"""The first kernel with "oom-kill:",
ef8444ea01d7 ("mm, oom: reorganize the oom report in dump_header")."""
_KINDS_SHOWN = 6


def report_rows(found: Explanation) -> Iterator[tuple[str, str]]:
    """Yield an explanation as labels and texts; the task dump is not in it."""
    report = found.report
    yield "time", time_text(report)
    if report.victim:
        yield "killed" if report.end is OomEnd.KILLED else "chosen", _victim(report.victim)
    yield "cause", cause_text(report)
    if not report.has_report:
        yield "missing", "; ".join(found.missing)
        return
    if report.victim:
        yield "cgroup", report.victim.cgroup or "-"
    if report.counters:
        yield (
            "counters",
            "; ".join(f"{name} {_counter(each)}" for name, each in report.counters.items()),
        )
    yield "invoker", _invoker(report)
    if report.order is not None:
        yield "asked", _asked(report)
    if report.group is not None or report.members:
        yield "group", _group(report)
    if found.memory:
        yield "memory", _kinds(found.memory)
        yield "no task", _of_no_task(found.memory)
    if report.machine and report.machine.swap_total and report.machine.swap_free is not None:
        used = report.machine.swap_total - report.machine.swap_free
        yield "swap", f"{format_size(used)} of {format_size(report.machine.swap_total)}"
    if found.reason:
        yield from (row for row in reason_rows(found.reason) if row[0] != "group")
    yield "choice", choice_text(found)
    if found.prediction and adj_matters(report):
        yield "weight", _weight(found)
    if found.repeats:
        yield "repeated", f"{counted(found.repeats, 'more report')} like this came right after it"
    if found.missing:
        yield "missing", "; ".join(found.missing)


def title(found: Explanation) -> str:
    """Return what happened in a few words, such as "OOM 2: web (pid 7) was killed"."""
    report = found.report
    victim = report.victim
    name = task_name(victim.comm, victim.pid) if victim else "no task"
    match report.end:
        case OomEnd.KILLED:
            more = f" and {len(report.members)} more" if report.members else ""
            member = ", a member of a group," if report.is_member else ""
            what = f"{name}{more}{member} {'were' if more else 'was'} killed"
        case OomEnd.EXITING:
            what = f"{name} was chosen, but was exiting already"
        case OomEnd.NO_TASK:
            what = "no task could be killed"
        case OomEnd.PANIC:
            what = "the kernel panicked"
        case _ if victim:
            what = f"{name} was chosen; the log does not tell what became of it"
        case _:
            what = "the log does not tell which task was chosen"
    return f"OOM {found.number}: {what}"


def time_text(report: OomReport) -> str:
    """Return when and on which machine and kernel, as far as the log tells."""
    since_boot = "" if report.time_us is None else f"{report.time_us / 1e6:.6f} s after boot"
    kernel = f"kernel {report.kernel}" if report.kernel else ""
    parts = [report.when, since_boot, report.host, kernel]
    return ", ".join(part for part in parts if part) or "-"


def cause_text(report: OomReport) -> str:
    """Say which limit was hit, or what declared OOM."""
    if report.panic:
        return f"{report.panic}: the kernel panicked"
    if report.order == -1:
        return "sysrq f: a user asked for it, for the whole system"
    match report.constraint:
        case Constraint.MEMCG:
            return _limit_hit(report)
        case Constraint.NONE:
            return f"the whole machine: {_used_up(report)}, or a program declared it"
        case Constraint.CPUSET:
            nodes = report.mems_allowed or "?"
            return f"cpuset {report.cpuset or '?'}: its memory nodes ({nodes}) were used up"
        case Constraint.MEMORY_POLICY:
            return f"the invoker's memory policy: its nodes ({report.nodemask or '?'}) were used up"
    if not report.machine and not report.is_before_5_1:
        return "unknown: the log does not have the constraint"
    release = dumped.version(report)
    if release < _SAYS_WHICH if release else report.is_before_5_1:
        return "the machine, or a cpuset or memory policy: kernels before 5.0 do not say which"
    return 'the machine, or a cpuset or memory policy: the record "oom-kill:" would say which'


def _used_up(report: OomReport) -> str:
    """Say what the machine had no more of; a large order needs pages in one piece."""
    machine, order = report.machine, report.order or 0
    if order > 0:
        return f"no free block of {counted(1 << min(order, 64), 'page')} was left"
    if not machine or machine.swap_total is None or machine.swap_free is None:
        return "RAM and swap were used up"
    if not machine.swap_total:
        return "RAM was used up, and there is no swap"
    if machine.swap_free > machine.swap_total // 10:
        return f"RAM was used up, though {format_size(machine.swap_free)} of swap was free"
    return "RAM and swap were used up"


def _limit_hit(report: OomReport) -> str:
    name = report.memcg or "a cgroup that the log does not name"
    memory = report.counters.get("memory")
    if not memory:
        return f"{name}: it was out of memory"
    v1 = report.is_v1
    asked = report.page_size << max(report.order or 0, 0)
    limits = {
        "memory": "memory.limit_in_bytes" if v1 else "memory.max",
        "memory+swap": "memory.memsw.limit_in_bytes",
        "kmem": "memory.kmem.limit_in_bytes",
    }
    for kind, file in limits.items():
        counter = report.counters.get(kind)
        if counter and counter.limit is not None and _is_hit(counter, counter.limit, asked):
            return f"{file} of {name}: {format_size(counter.limit)}"
    of = format_size(memory.limit) if memory.limit is not None else "max"
    return (
        f"{name}: declared by a program, or memory was freed before the report: "
        f"usage was {format_size(memory.usage)} of {of}"
    )


def _is_hit(counter: PageCounter, limit: int, asked: int) -> bool:
    """Tell whether a limit was hit: what CPUs keep in stock is freed just before the report.

    MEMCG_CHARGE_BATCH is 64 pages (include/linux/memcontrol.h); 64 CPUs are assumed at most.
    """
    if counter.usage + asked > limit:
        return True
    return counter.failcnt > 0 and counter.usage + min(limit // 16, 64 * 64 * 4096) > limit


def _counter(counter: PageCounter) -> str:
    limit = "max" if counter.limit is None else format_size(counter.limit)
    return f"{format_size(counter.usage)} of {limit}, failcnt {counter.failcnt}"


def _victim(victim: Victim) -> str:
    parts = [task_name(victim.comm, victim.pid)]
    if victim.thread not in (None, victim.pid):
        parts.append(f"thread {victim.thread}")
    if victim.uid is not None:
        parts.append(f"uid {victim.uid}")
    if victim.rss is not None:
        kinds = {"anon": victim.anon, "file": victim.file, "shmem": victim.shmem}
        sizes = (f"{name} {format_size(size)}" for name, size in kinds.items() if size is not None)
        parts.append(f"rss {format_size(victim.rss)} ({', '.join(sizes)})")
    if victim.pgtables is not None:
        parts.append(f"page tables {format_size(victim.pgtables)}")
    if victim.oom_score_adj is not None:
        parts.append(f"oom_score_adj {victim.oom_score_adj}")
    if victim.score is not None:
        parts.append(f"score {victim.score}")
    if victim.chosen_pid is not None:
        parts.append(f"killed in place of pid {victim.chosen_pid}, which was chosen")
    return ", ".join(parts)


def _invoker(report: OomReport) -> str:
    if report.invoker_comm is None:
        return "-"
    pid = "?" if report.invoker_pid is None else report.invoker_pid
    adj = "" if report.invoker_adj is None else f", oom_score_adj {report.invoker_adj}"
    return f"{report.invoker_comm} (pid {pid}){adj}"


def _asked(report: OomReport) -> str:
    order = report.order or 0
    pages = "sysrq" if order < 0 else counted(1 << min(order, 64), "page")
    mask = "-" if report.gfp_mask is None else f"{report.gfp_mask:#x}"
    flags = f" ({report.gfp_flags})" if report.gfp_flags else ""
    return f"order {order} ({pages}), gfp_mask {mask}{flags}"


def _group(report: OomReport) -> str:
    names = [task_name(each.comm, each.pid) for each in report.members[:_MEMBERS_SHOWN]]
    more = len(report.members) - len(names)
    names += [f"{more} more"] if more > 0 else []
    also = f"; with it died {', '.join(names)}" if names else ""
    return f"memory.oom.group of {report.group or '?'}{also}"


def _kinds(memory: Memory) -> str:
    return _sizes(memory.kinds) + (
        f"; free {format_size(memory.free)}" if memory.free is not None else ""
    )


def _sizes(kinds: Mapping[str, int]) -> str:
    """Return the largest kinds; `rest` is all that is not shown, so that they add up."""
    named = [item for item in kinds.items() if item[0] != "rest"]
    shown = dict(named[:_KINDS_SHOWN])
    if rest := sum(kinds.values()) - sum(shown.values()):
        shown["rest"] = rest
    return ", ".join(f"{name} {format_size(size)}" for name, size in shown.items())


def _of_no_task(memory: Memory) -> str:
    share = 100 * memory.of_no_task // memory.usage if memory.usage else 0
    of = f"{format_size(memory.of_no_task)} of {format_size(memory.usage)} ({share}%)"
    text = f"{of} would be left if every task died"
    if not memory.mapped:
        text += ", less what tasks map of the shmem: the dump does not tell"
    return text


def choice_text(found: Explanation) -> str:
    """Say whether the kernel's choice follows from the dump."""
    if found.follows is None:
        return f"cannot be checked: {found.doubt}"
    if found.report.end is OomEnd.NO_TASK:
        return "follows: no task of the dump may be killed" if found.follows else found.doubt
    if not found.follows:
        return (
            f"does not follow: {found.doubt}; it may have been in vfork() or dying already, "
            "or sizes changed between choice and dump"
        )
    return "follows from the dump" + (f": {found.doubt}" if found.doubt else "")


def _weight(found: Explanation) -> str:
    total = found.totalpages
    least = total.least or 0
    text = f"a point of oom_score_adj weighs {least // 1000:,} pages ({total.of} / 1000)"
    if total.is_exact:
        return text
    most = "" if total.most is None else f", at most {total.most // 1000:,}"
    return f"{text.replace('weighs', 'weighs at least')}{most}"
