import contextlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oomctl.errors import UsageError
from oomctl.oom.log.logentry import Entries
from oomctl.oom.log.logtext import LogText
from oomctl.oom.log.reporttext import SplitText
from tests.corpus.reading import read

KILL = (
    "Memory cgroup out of memory: Killed process 7 (a [b] c: d) total-vm:9kB, anon-rss:4kB, "
    "file-rss:8kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
)


@contextlib.contextmanager
def suppress_other_formats():
    try:
        yield
    except UsageError as error:
        if not re.match("log is (compressed|a file of the journal)", str(error)):
            raise


def records(*lines):
    text = LogText()
    return [record for line in lines for record in text.records(line.encode())]


def test_the_time_since_boot_and_the_caller_are_read():
    (record,) = records(f"<4>[   12.345678][  T99] {KILL}")
    assert (record.time_us, record.caller, record.text) == (12_345_678, "T99", KILL)
    assert record.since_boot


def test_a_wall_clock_grows_over_midnight():
    times = [
        record.time_us
        for record in records(*(f"Nov 26 {at} box kernel: x" for at in ("23:59:59", "00:00:01")))
    ]
    assert times[1] - times[0] == 2_000_000


@pytest.mark.parametrize(
    "line",
    [
        f"Nov 26 07:15:06 box app[9]: {KILL}",
        f"2026-11-26T07:15:06+0000 box systemd[1]: {KILL}",
        f'{{"MESSAGE": "{KILL}", "_TRANSPORT": "journal"}}',
        f'{{"MESSAGE": "{KILL}", "SYSLOG_IDENTIFIER": "app"}}',
        f"12,1,1,-;{KILL}",
        f"<12>[    1.000000] {KILL}",
        f"user  :notice: [    1.000000] {KILL}",
    ],
)
def test_a_line_of_another_program_is_no_record(line):
    assert records(line) == []


@pytest.mark.parametrize("tag", ["kernel: ", "kernel[0]: ", "box kernel: ", "kernel-monitor: "])
def test_a_line_of_the_kernel_is_one(tag):
    (record,) = records(f"Nov 26 07:15:06 {tag}{KILL}")
    assert record.text == KILL


def test_what_a_record_escapes_is_unescaped():
    (found,) = read(KILL.replace("a [b]", r"\x1b\xc3\xa9#012").encode())
    assert found.report.victim.comm == r"\x1bé\n c: d"


def test_a_kill_has_nothing_of_a_report_whose_own_kill_was_cut_out():
    other = (
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
        "oom_memcg=/a,task_memcg=/a/b,task=x,pid=99,uid=0"
    )
    (found,) = read(f"{other}\n{KILL}".encode())
    assert (found.report.victim.pid, found.report.victim.cgroup, found.report.memcg) == (
        7,
        None,
        None,
    )


def test_an_unknown_prefix_is_learned_and_holds_for_lines_that_tell_nothing():
    found = records(f"srv|7|{KILL}", "srv|12|anon 99")
    assert [record.text for record in found] == [KILL, "anon 99"]


@given(st.lists(st.binary(max_size=300), max_size=20))
@example([b"\x1b" * 50, b"{" * 2000, b'{"MESSAGE":[1,"x",999]}', b"[1.1234567890123456789] x"])
@example([b"\\xff\\xc3", b"\r\r\n", b"99:99:99 kernel: x", b"Mar  9 1:02:03 99:99 x"])
@example([b'{"MESSAGE":"x","__REALTIME_TIMESTAMP":"99999999999999999"}', b'{"MESSAGE":7}', b"{}"])
@example([b'{"MESSAGE":"x","_SOURCE_MONOTONIC_TIMESTAMP":"\xd9\xa3"}', b"[1]", b'{"MESSAGE":[]}'])
@example([b'{"MESSAGE":"oom-kill:constraint=CONSTRAINT_MEMCG,\\ud800"}', b'{"log":"\\udfff"}'])
@example([b"BZh"])
@example([b' "msg": "\\ud800"', b' "msg": "x\\y"', b'{"log":7}', b'{"MESSAGE":null}'])
def test_no_bytes_raise_but_those_of_other_formats(lines):
    with suppress_other_formats():
        assert isinstance(read(b"\n".join(lines)), list)


def test_a_record_that_goes_on_and_on_is_not_kept():
    split = SplitText("", "oom-kill:constraint=")
    for _ in range(64):
        split.add("", "x" * (1 << 20))
    assert len(split.text) < 1 << 20


def test_an_entry_of_a_journal_that_goes_on_and_on_is_not_kept():
    entries = Entries()
    lines = ["_TRANSPORT=kernel", "MESSAGE=a", *[" " * 9 + "b" * 5000] * 99]
    lines += [f"_N{number}={'c' * 99}" for number in range(999)]
    for line in [*lines, ""]:
        assert entries.take(line.encode(), line)
    (fields,) = entries.done
    assert fields.keys() == {"_TRANSPORT", "MESSAGE"}
    assert len(str(fields["MESSAGE"])) < 100_000
    for line in (b"_TRANSPORT=kernel", b"DUMP", (1 << 40).to_bytes(8, "little"), b"MESSAGE=d", b""):
        assert entries.take(line, line.decode("latin-1"))
    assert entries.done[1]["MESSAGE"] == "d"
