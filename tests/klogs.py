"""Reports of OOM kills as the kernel prints them into its log."""

import re
from dataclasses import dataclass

from oomctl.oom.log.logrecord import Record

RECORD_MAX = 1021  # what is left of one pr_cont() in 6.x


@dataclass
class Log:
    """A kernel log in which each printk() becomes a record; `caller` as with PRINTK_CALLER."""

    caller: str = ""
    now_us: int = 1_000_000

    def __post_init__(self) -> None:
        self.records: list[Record] = []

    def say(self, *parts: str, level: int = 6) -> None:
        """Print a line, its second and later parts with pr_cont()."""
        text = parts[0]
        continued = False
        for part in parts[1:]:
            if len(text.encode(errors="surrogateescape") + part.encode()) > RECORD_MAX:
                self._store(text, continued)
                text, continued = part[:RECORD_MAX], True
            else:
                text += part
        self._store(text, continued)

    def _store(self, text: str, continued: bool) -> None:
        if not continued:  # kernel/printk/printk.c, printk_parse_prefix
            text = re.sub(r"^(?:\x01[0-7c])+", "", text)
        self.now_us += 10
        number = len(self.records)
        self.records.append(Record(number, self.now_us, text, continued, self.caller))

    def invoked(self, comm="python3", pid=166, order=0) -> None:
        self.say(
            f"{comm} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order={order}, oom_score_adj=0"
        )
        self.say(
            f"CPU: 1 UID: 0 PID: {pid} Comm: {comm} Tainted: G           OE      "
            "6.12.95+deb12-amd64 #1  Debian 6.12.95-1~bpo12+1"
        )
        self.say("Call Trace:")
        self.say("Tasks state (memory values in pages):")

    def chose(self, pid, comm="hog", cgroup="/a/b", oom_memcg="/a", cpuset="/", uid="0") -> None:
        kind = "NONE" if oom_memcg is None else "MEMCG"
        memcg = [",global_oom"] if oom_memcg is None else [",oom_memcg=", oom_memcg]
        self.say(
            f"oom-kill:constraint=CONSTRAINT_{kind},nodemask=(null)",
            ",cpuset=",
            cpuset,
            ",mems_allowed=0",
            *memcg,
            ",task_memcg=",
            cgroup,
            f",task={comm},pid={pid},uid={uid}",
        )

    def killed(self, pid, comm="hog", cause="Memory cgroup out of memory", adj=0) -> None:
        self.say(
            f"{cause}: Killed process {pid} ({comm}) total-vm:9kB, anon-rss:4kB, file-rss:8kB, "
            f"shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:{adj}"
        )

    def group(self, path="/a") -> None:
        self.say("Tasks in ", path, " are going to be killed due to memory.oom.group set")

    def reported(self, pid, **fields) -> None:
        """Print the report of one kill and the kill."""
        self.invoked()
        self.chose(pid, **fields)
        self.killed(pid, fields.get("comm", "hog"))


def group_log():
    """Return the records of a kill of 7 in /g/a, and of the rest of its group /g: 8."""
    said = Log()
    said.invoked()
    said.chose(7, cgroup="/g/a", oom_memcg="/g")
    said.killed(7)
    said.group("/g")
    said.killed(7)
    said.killed(8)
    return said.records
