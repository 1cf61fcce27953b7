"""What the kernel log says of OOM kills. Pure: text in, frozen values out."""

import re
from dataclasses import dataclass

from oomctl.text import printable

# "Killed process" is not rate limited, unlike the report around it (mm/oom_kill.c,
# __oom_kill_process). Only these prefixes: the path of a cgroup, which the kernel logs elsewhere
# ("Tasks in ... are going to be killed"), may hold any other text.
_KILLED = re.compile(
    r"(?:Memory cgroup out|Out) of memory(?: \(oom_kill_allocating_task\))?: "
    r"Killed process (?P<pid>\d{1,10}) \((?P<comm>.*)\) total-vm:\d+kB, "
    r"anon-rss:(?P<anon>\d{1,20})kB, file-rss:(?P<file>\d{1,20})kB, shmem-rss:(?P<shmem>\d{1,20})kB"
    r"(?:.* oom_score_adj:(?P<adj>-?\d{1,4}))?",
    re.DOTALL,
)
_VICTIM = re.compile(
    r"oom-kill:.*task_memcg=(?P<memcg>.*),task=.*,pid=(?P<pid>\d{1,10}),uid=\d+", re.DOTALL
)
# lib/dump_stack.c, dump_stack_print_info(): rate limited with the report around the kill
INVOKER = re.compile(r"CPU: \d+ (?:UID: \d+ )?PID: (?P<pid>\d{1,10}) Comm: ")
# What is not printable, and the backslash, comes as \x5c: kernel/printk/printk.c, msg_add_ext_text
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_NO_SYSRQ = "OOM request ignored. No task eligible"
_NO_KILLABLE = "Out of memory and no killable processes..."


@dataclass(frozen=True)
class Record:
    """One record of the kernel log: sequence number, time in microseconds since boot, text."""

    sequence: int
    time_us: int
    text: str


@dataclass(frozen=True)
class Kill:
    """One task that was sent SIGKILL: `rss` in bytes, `memcg` and `trigger` if the log told them.

    `trigger` is the PID of who ran the OOM killer.
    """

    pid: int
    comm: str
    rss: int
    memcg: str | None = None
    oom_score_adj: int = 0
    trigger: int | None = None


@dataclass(frozen=True)
class KernelLog:
    """What the log said between two moments; `lost` counts records overwritten before we read."""

    records: tuple[Record, ...] = ()
    lost: int = 0

    @property
    def kills(self) -> tuple[Kill, ...]:
        """The kills in order, each PID once: a group kill reports its first victim twice."""
        memcg_of = {
            int(found["pid"]): found["memcg"]
            for record in self.records
            if (found := _VICTIM.search(record.text))
        }
        kills: dict[int, Kill] = {}
        trigger: int | None = None
        for record in self.records:
            if found := INVOKER.match(record.text):
                trigger = int(found["pid"])
            elif found := _KILLED.match(record.text):
                pid = int(found["pid"])
                rss = sum(int(found[kind]) for kind in ("anon", "file", "shmem")) * 1024
                comm, adj = printable(found["comm"]), int(found["adj"] or 0)
                by = trigger if pid in memcg_of else None  # else its report was left out
                kills.setdefault(pid, Kill(pid, comm, rss, memcg_of.get(pid), adj, by))
        return tuple(kills.values())

    def __add__(self, later: "KernelLog") -> "KernelLog":
        """Return both as one; `later` is what came after this."""
        return KernelLog(self.records + later.records, self.lost + later.lost)

    @property
    def refused_sysrq(self) -> bool:
        """Whether sysrq's OOM found nobody (drivers/tty/sysrq.c, moom_callback)."""
        return any(record.text == _NO_SYSRQ for record in self.records)

    @property
    def found_no_killable(self) -> bool:
        """Whether the OOM killer said that no task was eligible."""
        return any(record.text == _NO_KILLABLE for record in self.records)


def parse_record(raw: bytes) -> Record | None:
    """Parse one read of /dev/kmsg; None for what is not the kernel's own.

    Whoever may write /dev/kmsg can put any text there, but not with facility 0: devkmsg_write()
    in kernel/printk/printk.c replaces it.
    """
    head, _, body = raw.partition(b";")
    fields = head.split(b",")
    if len(fields) < 3 or not all(field.isdigit() and len(field) <= 20 for field in fields[:3]):
        return None
    priority, sequence, time_us = (int(field) for field in fields[:3])
    if priority >> 3:
        return None
    line = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), body.split(b"\n", 1)[0])
    return Record(sequence, time_us, line.decode(errors="surrogateescape"))
