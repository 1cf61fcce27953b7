"""Records of OOM kills as /dev/kmsg gives them, and what is read of them."""

from oomctl.oom.kill import OomKill
from oomctl.oom.klog import KernelLog, KillsFromLog
from oomctl.oom.log.logrecord import parse_record
from tests.klogs import Log

# Records as /dev/kmsg gives them: "priority,sequence,microseconds,flags;text\n KEY=value\n".
INVOKED = (
    b"4,1200,98000100,-;oomctl-caller invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, "
    b"oom_score_adj=-1000\n"
)
CPU = (
    b"4,1201,98000150,-;CPU: 0 UID: 0 PID: 169 Comm: oomctl-caller Tainted: G           OE      "
    b"6.12.95+deb12-amd64 #1  Debian 6.12.95-1~bpo12+1\n"
)
CHOSEN = (
    b"6,1202,98000200,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"
    b"mems_allowed=0,oom_memcg=/oomctl-7-ab,task_memcg=/oomctl-7-ab/large,task=large,pid=241,"
    b"uid=0\n"
)


MEMCG_KILL = (
    b"3,1203,98000300,-;Memory cgroup out of memory: Killed process 241 (large) total-vm:65544kB, "
    b"anon-rss:65536kB, file-rss:4kB, shmem-rss:8kB, UID:0 pgtables:168kB oom_score_adj:0\n"
)
NUMBERS = (
    b"total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:40kB oom_score_adj:0"
)


def log(*raws: bytes) -> KernelLog:
    return KernelLog(tuple(record for raw in raws if (record := parse_record(raw))))


def killed(text: bytes) -> tuple[OomKill, ...]:
    return log(b"3,1,1,-;" + text + b"\n").kills


def kills(said: Log) -> list[OomKill]:
    return KillsFromLog().feed(said.records)


def facts(kill: OomKill):
    own = None if kill.cgroup == kill.group else kill.cgroup  # of a member only the group is known
    return own, kill.memcg, kill.order, kill.invoker_pid, kill.invoker_comm, kill.group


NOTHING = (None,) * 6


def killed_text(pid):
    said = Log()
    said.killed(pid)
    return said.records[0].text
