r"""The texts of an OOM report: patterns for its records, from 3.10 to 7.x. Pure.

A task must not be able to change how a record is parsed: a comm is any 15 bytes, the path of a
cgroup any text without a newline. So a record is matched as a whole, by its fixed parts, and a part
that could be parsed in two ways is unknown. The texts are those of dump_header(), dump_tasks() and
oom_kill_process() in mm/oom_kill.c, and of mem_cgroup_print_oom_context() and
mem_cgroup_print_oom_meminfo() in mm/memcontrol.c; older ones are of mem_cgroup_print_oom_info().
"""

import re
from dataclasses import dataclass
from functools import cache

from oomctl.oom.paths import is_within

# printk() cuts what pr_cont() gives it at once, without a mark: to 1021 bytes in 6.x, fewer before
# (kernel/printk/printk.c, vprintk_store, PRINTKRB_RECORD_MAX)
_UNCUT_MAX = 972
_PART_MAX = 1 << 12  # PATH_MAX: no kernel prints more at once
COMM_MAX = 15

INVOKES = " invoked oom-killer: "
INVOKED = re.compile(
    rf"(?P<comm>.{{0,15}}){INVOKES}"
    r"gfp_mask=(?P<mask>(?:0x)?[0-9a-f]+)?"
    r"(?:(?:\((?P<flags>[A-Za-z0-9_|#]*)\))?[^ ]*(?: nodemask=(?P<nodemask>\(null\)|[\d,-]*),)? +"
    r"order=(?P<order>-?\d{1,10})(?:, oom_adj=-?\d{1,5})?(?:, oom_score_adj=(?P<adj>-?\d{1,5}))?"
    r"(?:[,.\u2026>][^\n]*)?|\([A-Za-z0-9_|]*[.\u2026>]+)",  # a pager may have cut its end
    re.DOTALL,
)
# cpuset_print_current_mems_allowed(), between the two others up to 5.0
CPUSET = re.compile(r".{0,15} cpuset=(?P<cpuset>/|[^/]*) mems_allowed=(?P<mems>[\d,-]*)", re.DOTALL)
# lib/dump_stack.c, dump_stack_print_info(). A comm may begin with what printk() takes for a level
# and leaves out where it begins a record (printk_parse_prefix), so not here but in INVOKED.
CPU = re.compile(
    r"(?:CPU: \d+ (?:UID: \d+ )?PID: (?P<pid>\d{1,10}) Comm: |Pid: (?P<old>\d{1,10}), comm: )"
    r"(?P<level>(?:\x01[0-7c])*)"
)
# a trace of another task, whose comm may be the same, comes with one of these
SPLAT = re.compile(
    r"CPU:|Pid:|cut here|WARNING|BUG|INFO|Call Trace|failure|stall|lockup|Oops|fault"
)
RELEASE = re.compile(r" (?:Not tainted|Tainted: [A-Z -]{1,60}?) +(\d[\w.+~-]{0,63})(?: |$)")
# the name of a cpuset holds no slash; kernels without cpusets, or without memcgs, omit these
SUMMARY = re.compile(
    r"oom-kill:constraint=CONSTRAINT_(?P<constraint>[A-Z_]+),"
    r"nodemask=(?P<nodemask>\(null\)|[\d,-]*)(?:, ?cpuset=(?P<cpuset>/|[^/]*),"
    r"mems_allowed=(?P<mems>[\d,-]*))?"
    r"(?:,(?P<scope>oom_memcg|global_oom,task_memcg)=(?P<paths>/.*)|(?P<task>,task=.{0,15})),"
    r"pid=(?P<pid>\d{1,10}),uid=(?P<uid>-?\d{1,10})",
    re.DOTALL,
)
GROUP = re.compile(
    r"Tasks in (?P<path>/.*) are going to be killed due to memory\.oom\.group set", re.DOTALL
)
# up to 4.20, which have no "oom-kill:"
LIMIT = re.compile(
    r"Task in (?P<paths>/.* killed as a result of limit of /.*)"
    r"|Memory limit reached of cgroup (?P<path>/.*)",
    re.DOTALL,
)
STATS = re.compile(r"Memory cgroup stats for (?P<path>/.*?):(?P<old>(?: ?\w+:\d+KB)* ?)", re.DOTALL)
SPLITS = ("oom-kill:constraint=", "Tasks in ", "Task in ", "Memory limit reached of cgroup ")
COUNTER = re.compile(
    r"(?P<name>memory|swap|memory\+swap|kmem): usage (?P<usage>\d{1,20})kB, "
    r"limit (?P<limit>\d{1,20})kB, failcnt (?P<failcnt>\d{1,20})"
)
UNLIMITED_KB = 9007199254740000
"""From here on a limit is PAGE_COUNTER_MAX, or what v1's users wrote for it."""
STAT = re.compile(r"(?P<name>[a-z][a-z0-9_()]{0,40}) (?P<value>\d{1,20})")
DUMP = "Tasks state (memory values in pages):"
DUMP_HEAD = re.compile(r"\[ +pid +\] +uid +tgid +total_vm +rss +(?P<columns>[a-z_ -]+) +name")
# the gap before oom_score_adj is in the format, and the comm after it is all of the rest
ROW = re.compile(
    r"\[ *(?P<pid>\d{1,10})\](?P<numbers>(?: +-?\d{1,20}){5,12}?) {9} *(?P<adj>-?\d{1,5}) "
    r"(?P<comm>.{0,15})",
    re.DOTALL,
)
_CAUSE = r"(?P<cause>(?:Memory cgroup out|Out) of memory(?P<own> \(oom_kill_allocating_task\))?): "
# up to 5.0: the one chosen, whose child may be killed instead
CHOSEN = re.compile(
    _CAUSE + r"Kill process (?P<pid>\d{1,10}) \((?P<comm>.{0,15})\) score (?P<score>\d{1,10})"
    r"(?: [^\n]*)?",
    re.DOTALL,
)
# __oom_kill_process(), with the message of oom_kill_process() before it; before 5.1 without.
# A pager may have cut its end, and later kernels may print more.
_ADJ = r"(?: oom_score_adj:(?P<adj>-?\d{1,5}))?"
_UID = rf"(?:, UID:(?P<uid>-?\d{{1,10}})(?: pgtables:(?P<pgtables>\d{{1,20}})kB{_ADJ})?)?"
_FILE = rf"(?:, file-rss:(?P<file>\d{{1,20}})kB(?:, shmem-rss:(?P<shmem>\d{{1,20}})kB)?{_UID})?"
KILLED = re.compile(
    rf"(?:{_CAUSE})?Killed process (?P<pid>\d{{1,10}})"
    r"(?: \((?P<comm>.{0,15})\)(?:,? UID:? ?(?P<uid1>\d+),?)?|,? UID (?P<uid2>\d+), "
    r"\((?P<comm2>.{0,15})\))(?: total-vm:(?P<vm>\d{1,20})kB"
    rf"(?:, anon-rss:(?P<anon>\d{{1,20}})kB{_FILE})?(?:[ ,.\u2026>][^\n]*)?"
    r"|(?(cause)(?:[ ,.\u2026>][^\n]*)?|(?!)))",
    re.DOTALL,
)
SKIPPED = re.compile(
    _CAUSE + r"OOM victim (?P<pid>\d{1,10}) \((?P<comm>.{0,15})\) is already exiting\. "
    r"Skip killing the task",
    re.DOTALL,
)
NO_KILLABLE = "Out of memory and no killable processes..."
PANIC = re.compile(
    r"Kernel panic - not syncing: (?P<why>Out of memory: (?:system-wide|compulsory) "
    r"panic_on_oom is enabled|Out of memory and no killable processes\.\.\.|"
    r"System is deadlocked on memory)"
)
SUPPRESSED = re.compile(
    r"(?:oom_kill_process|dump_header): (?P<count>\d{1,10}) callbacks suppressed"
)
ENDS = (
    *("Killed process ", "Memory cgroup out of memory", "Out of memory", "Kernel panic"),
    *("oom_kill_process: ", "dump_header: "),
)
"""What a record begins with that is CHOSEN, KILLED, SKIPPED, NO_KILLABLE, PANIC or SUPPRESSED."""
MACHINE = "Mem-Info:"
# mm/show_mem.c, __show_mem() and show_free_areas()
RAM = re.compile(
    r"(?P<number>\d{1,20}) (?P<pages>pages RAM|pages of RAM|pages reserved|reserved pages)"
)
SWAP = re.compile(r"(?P<which>Free|Total) swap *= *(?P<size>\d{1,20})kB")
PAGES = re.compile(r"(?P<name>[a-z_]{3,40}):(?P<pages>\d{1,20})(?= |$|\n)")
ZONE = re.compile(r"(?:Node (?P<node>\d{1,5}) )?[A-Z]\w* free:.* present:(?P<present>\d{1,20})kB ")


_OF_DUMP = re.compile(r"\[ *(?:\d{1,10}|pid) *\] +(?:uid|-?\d)")
BEGINNINGS = (
    *(*SPLITS, "Memory cgroup ", "Out of memory", "Killed process ", "memory: usage "),
    *("oom_reaper: ", "Call Trace:", "CPU: ", "Kernel panic", DUMP, MACHINE),
)


def begins(text: str) -> bool:
    """Tell whether a text begins a record of a report, or one of those that come between."""
    if text.startswith("["):
        return _OF_DUMP.match(text) is not None
    return text.startswith(BEGINNINGS) or INVOKED.fullmatch(text) is not None


def is_record(text: str) -> bool:
    """Tell whether a text as a whole is a record that names a task."""
    return any(each.fullmatch(text) for each in (INVOKED, KILLED, SUMMARY, CHOSEN, SKIPPED))


def uid_of(text: str) -> int:
    """Return a UID: some records have it as a signed number."""
    return int(text) & 0xFFFFFFFF


@dataclass
class SplitText:
    """The text of a record that printk() may have split, joined part by part."""

    caller: str
    text: str
    cut: bool = False
    _last: int = 0

    def add(self, caller: str, text: str) -> None:
        """Append a continuation of this caller; a cut part is never the last one."""
        if caller == self.caller:
            self.text += text[:_PART_MAX]
            self.cut, self._last = self.cut or self._last > _UNCUT_MAX, _size(text)

    @property
    def is_whole(self) -> bool:
        """Whether the text is complete, as far as it can be told."""
        return any(each.fullmatch(self.text) for each in (SUMMARY, GROUP, LIMIT))

    @property
    def is_group(self) -> bool:
        """Whether it is the record that comes before the other members of a group are killed."""
        return GROUP.fullmatch(self.text) is not None

    @property
    def group(self) -> str | None:
        """The cgroup whose memory.oom.group is set."""
        found = GROUP.fullmatch(self.text)
        return found["path"] if found and not self.cut else None


@cache
def row_of(numbers: int) -> re.Pattern[str]:
    """Return the pattern of a row with that many numbers between PID and oom_score_adj."""
    return re.compile(
        rf"\[ *(?P<pid>\d{{1,10}})\](?P<numbers>(?: +-?\d{{1,20}}){{{numbers}}}) +"
        r"(?P<adj>-?\d{1,5}) (?P<comm>.{0,15})",
        re.DOTALL,
    )


def paths_of_summary(
    found: re.Match[str], comm: str | None
) -> tuple[str | None, str | None, str | None]:
    """Return the cgroup out of memory, the victim's, and its comm; None if they are not certain.

    `paths` is "PATH[,task_memcg=PATH],task=COMM"; a comm or path may look like the text after it.
    """
    paths = found["paths"] or found["task"]
    starts = [start for start in _all(",task=", paths) if _size(paths[start + 6 :]) <= COMM_MAX]
    ours = [start for start in starts if paths[start + 6 :] == comm]
    if len(ours or starts) != 1:
        return None, None, None
    (start,) = ours or starts
    paths, name = paths[:start], paths[start + 6 :]
    if not found["scope"]:
        return None, None, name
    if found["scope"] != "oom_memcg":
        return None, paths, name
    inside = [pair for pair in _pairs(paths, ",task_memcg=") if is_within(pair[1], pair[0])]
    return (*inside[0], name) if len(inside) == 1 else (None, None, name)


def paths_of_limit(found: re.Match[str]) -> tuple[str | None, str | None]:
    """Return the cgroup at its limit and the victim's, None if they are not certain."""
    if found["path"] is not None:
        return found["path"], None
    pairs = _pairs(found["paths"], " killed as a result of limit of ")
    inside = [pair for pair in pairs if is_within(*pair)]
    return inside[0][::-1] if len(inside) == 1 else (None, None)


def _pairs(paths: str, between: str) -> list[tuple[str, str]]:
    """Return the ways to split a text into two paths."""
    return [(paths[:at], paths[at + len(between) :]) for at in _all(f"{between}/", paths)]


def _all(part: str, text: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(part), text)]


def _size(text: str) -> int:
    """Return the bytes of a text, as the kernel counts them."""
    return len(text.encode(errors="surrogateescape"))
