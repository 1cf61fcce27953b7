"""Any content of /proc, of the kernel log and of the journals: a value, or a line that says it."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.errors import UnsupportedError
from oomctl.journal.entries import Changed, Made, Making, Owner, line
from oomctl.journal.file import boot
from oomctl.journal.rundir import folder
from oomctl.oom.klog import KernelLog, KillsFromLog
from oomctl.oom.log.logrecord import parse_record
from oomctl.proc import procfs
from oomctl.proc.kmsg import Kmsg
from oomctl.text import printable
from tests.hostile.bytes import near
from tests.hostile.ground import cases, count, invoke, valid

ME = Path(f"/proc/{os.getpid()}")
TASK = {name: (ME / name).read_bytes() for name in ("comm", "stat", "status", "oom_score_adj")}
TASK["cgroup"] = b"1:name=systemd:/x\n0::/a\n"
task_files = st.fixed_dictionaries(
    {}, optional={name: near(data, b"") for name, data in TASK.items()}
)


@cases(5)
@given(task_files)
def test_any_process_is_read_or_passed_over(tmp_path, files):
    count("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(procfs, "_PROC", tmp_path)
        (tmp_path / ME.name / "task" / ME.name).mkdir(parents=True, exist_ok=True)
        for name, data in TASK.items():
            (tmp_path / ME.name / name).write_bytes(files.get(name, data))
            (tmp_path / ME.name / "task" / ME.name / name).write_bytes(files.get(name, data))
        task = procfs.read_task(int(ME.name))
        said = procfs.doing(int(ME.name)) + (f"{task.comm} {task.cgroup}" if task else "")
    assert printable(said) == said


RECORDS = (
    b"6,339,5140900,-;NET: Registered protocol\n SUBSYSTEM=net\n",
    b"3,1,2,-;Memory cgroup out of memory: Killed process 9 (a) total-vm:8kB, anon-rss:1kB, "
    b"file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n",
    b"4,2,3,-;a\\x0a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n",
    b"4,3,4,-;CPU: 0 PID: 9 Comm: a Not tainted\n",
    b"6,4,5,c;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task_memcg=/a,task=b,pid=9,uid=0\n",
)


@cases(4)
@given(st.lists(near(*RECORDS), max_size=4))
def test_any_record_of_the_kernel_log_is_read_or_left_out(data):
    count("records of the kernel log")
    records = tuple(filter(None, map(parse_record, data)))
    log = KernelLog(records)
    kills = log.kills
    seen = KillsFromLog().feed(records)
    said = "".join([*(kill.comm for kill in kills), *(one.comm for one in seen)])
    assert printable(said) == said
    assert log.found_no_killable in (True, False)


@cases(1)
@given(near(*RECORDS))
def test_what_is_no_kernel_log_is_said(tmp_path, data):
    """In a container /dev/kmsg may be another file altogether."""
    count("files in the place of /dev/kmsg")
    path = tmp_path / "kmsg"
    path.write_bytes(data)
    with pytest.raises(UnsupportedError, match="is not the kernel log"), Kmsg(path) as kmsg:
        kmsg.read()


def entries(where):
    """Entries that name nothing but what is in a folder."""
    names = ("/a", "/a/b", "/f", "/\0", "/" + "n" * 300, "/f/g", "/loop", "/memory.max")
    paths = st.sampled_from(["f", "", *(where + name for name in names)])
    values = paths | st.sampled_from(["max", "4096", "\ud800", 1, -1, None, [], {}, 1e400, 1 << 70])
    fields = ("kind", "path", "id", "folder", "was", "wrote", "pid", "boot", "x")
    kinds = st.sampled_from(["owner", "making", "made", "changed", "stays", "", None, []])
    loose = st.dictionaries(st.sampled_from(fields), values).flatmap(
        lambda told: kinds.map(lambda kind: {"kind": kind, **told})
    )
    valid_ = (
        st.builds(Owner, st.just(4242), st.just(boot()))
        | st.builds(Making, paths)
        | st.builds(Made, paths, st.integers(0, 9))
        | st.builds(Changed, paths, st.none() | st.integers(0, 9), values, values)
    )
    return valid_.map(line) | loose.map(lambda told: json.dumps(told).encode() + b"\n")


HERE = "/HERE"  # stands for a folder of the test's
OWNER = line(Owner(4242, boot()))
lines_ = st.lists(entries(HERE) | near(OWNER, b"{}\n", b"[" * 99_999), max_size=4).map(b"".join)


@cases(4)
@given(lines_ | lines_.map(lambda lines: OWNER + lines))
def test_any_journal_is_worked_off_or_said_to_be_none(harmless, furnished, mounts, data):
    count("journals")
    mounts(("cgroup2", furnished, "rw"))
    data = data.replace(HERE.encode(), bytes(furnished))
    folder().mkdir(mode=0o700, exist_ok=True)
    path = folder() / "1-gone.journal"
    path.write_bytes(data)
    for words in (("clean", "--dry-run"), ("clean",)):
        result = valid(invoke(*words, allowed=furnished.parent), {0, 4})
    assert (result.exit_code == 4) is path.exists()
