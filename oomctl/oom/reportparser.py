"""The report of one OOM kill in the kernel log. Pure.

A task must not be able to change how a record is parsed: a comm is any 15 bytes, the path of a
cgroup any text without a newline. So a record is matched as a whole, by its fixed parts, and a part
that could be parsed in two ways is unknown.
"""

import re
from dataclasses import dataclass
from typing import Any

from oomctl.oom.paths import is_within
from oomctl.text import printable

# printk() cuts what pr_cont() gives it at once, without a mark: to 1021 bytes in 6.x, fewer before
# (kernel/printk/printk.c, vprintk_store, PRINTKRB_RECORD_MAX)
_UNCUT_MAX = 972
_COMM_MAX = 15

_INVOKED = re.compile(
    r"(?P<comm>.{0,15}) invoked oom-killer: gfp_mask=[^ ]*, order=(?P<order>-?\d{1,10})"
    r"(?:, oom_score_adj=-?\d{1,5})?",
    re.DOTALL,
)
_COMPACTION = "COMPACTION is disabled!!!"
# lib/dump_stack.c, dump_stack_print_info(). A comm may begin with what printk() takes for a level
# and leaves out where it begins a record (printk_parse_prefix), so not here but in _INVOKED.
_CPU = re.compile(r"CPU: \d+ (?:UID: \d+ )?PID: (?P<pid>\d{1,10}) Comm: (?P<level>(?:\x01[0-7c])*)")
# dump_oom_victim(), mem_cgroup_print_oom_context(); the name of a cpuset holds no slash
_SUMMARY = re.compile(
    r"oom-kill:constraint=CONSTRAINT_(?P<constraint>[A-Z_]+),nodemask=(?:\(null\)|[\d,-]*),"
    r"cpuset=(?:/|[^/]*),mems_allowed=[\d,-]*,(?P<whose>oom_memcg|global_oom,task_memcg)="
    r"(?P<paths>/.*),pid=(?P<pid>\d{1,10}),uid=-?\d{1,10}",
    re.DOTALL,
)
_GROUP = re.compile(
    r"Tasks in (?P<path>/.*) are going to be killed due to memory\.oom\.group set", re.DOTALL
)


Facts = dict[str, Any]
"""Fields of an OomKill that a report states for certain, by name."""


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
            self.text += text
            self.cut, self._last = self.cut or self._last > _UNCUT_MAX, _size(text)

    @property
    def is_group(self) -> bool:
        """Whether it is the record that comes before the other members of a group are killed."""
        return _GROUP.fullmatch(self.text) is not None

    @property
    def group(self) -> str | None:
        """The cgroup whose memory.oom.group is set."""
        found = _GROUP.fullmatch(self.text)
        return found["path"] if found and not self.cut else None


@dataclass
class Report:
    """The records before one kill: "invoked oom-killer" and "oom-kill:"."""

    caller: str
    summary: SplitText | None = None
    _comm: str | None = None
    _order: int | None = None
    _pid: int | None = None
    _expects_cpu: bool = False

    @classmethod
    def begun_by(cls, caller: str, text: str) -> "Report | None":
        """Return a new report if this record begins one."""
        found = _INVOKED.fullmatch(text)
        if not found:
            return None
        return cls(caller, _comm=found["comm"], _order=int(found["order"]), _expects_cpu=True)

    def add(self, text: str) -> None:
        """Take the next record: only the one after "invoked oom-killer" has the PID."""
        if self._expects_cpu and text != _COMPACTION:
            self._expects_cpu = False
            found = _CPU.match(text)
            if found and text.startswith(f"{self._comm} ", found.end()):
                self._pid, self._comm = int(found["pid"]), f"{found['level']}{self._comm}"

    def facts(self, thread: int, comm: str) -> Facts:
        """Return the facts, for the thread that was killed and its comm."""
        facts: Facts = {"order": self._order, "invoker_pid": self._pid}
        if self._comm is not None:
            facts["invoker_comm"] = printable(self._comm)
        found = _SUMMARY.fullmatch(self.summary.text) if self.summary else None
        if not self.summary or not found:
            return facts
        facts["pid"] = int(found["pid"])
        facts["constraint"] = found["constraint"].lower().replace("_", "-")
        if not self.summary.cut:
            same = facts["pid"] == thread
            facts["memcg"], facts["cgroup"] = _paths(found, comm if same else None)
        return facts


def _paths(found: re.Match[str], comm: str | None) -> tuple[str | None, str | None]:
    """Return the cgroup out of memory and the victim's, None if they are not certain.

    `paths` is "PATH[,task_memcg=PATH],task=COMM"; a comm or path may look like the text after it.
    """
    paths = found["paths"]
    starts = [start for start in _all(",task=", paths) if _size(paths[start + 6 :]) <= _COMM_MAX]
    ours = [start for start in starts if paths[start + 6 :] == comm]
    if len(ours or starts) != 1:
        return None, None
    paths = paths[: (ours or starts)[0]]
    if found["whose"] != "oom_memcg":
        return None, paths
    pairs = [(paths[:at], paths[at + 12 :]) for at in _all(",task_memcg=/", paths)]
    inside = [pair for pair in pairs if is_within(pair[1], pair[0])]
    return inside[0] if len(inside) == 1 else (None, None)


def _all(part: str, text: str) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(part), text)]


def _size(text: str) -> int:
    """Return the bytes of a text, as the kernel counts them."""
    return len(text.encode(errors="surrogateescape"))
