import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.oom.kill import OomKill
from oomctl.oom.klog import KillsFromLog
from oomctl.oom.log.logrecord import Record, parse_record
from tests.klogs import Log
from tests.unit.oom.klogs import (
    CHOSEN,
    CPU,
    INVOKED,
    MEMCG_KILL,
    NOTHING,
    NUMBERS,
    facts,
    killed,
    kills,
    log,
)


def test_a_kill_has_what_its_report_says():
    assert log(INVOKED, CPU, CHOSEN, MEMCG_KILL).kills == (
        OomKill(
            at_ns=98000300_000,
            pid=241,
            comm="large",
            role="victim",
            rss=(65536 + 4 + 8) * 1024,
            oom_score_adj=0,
            cgroup="/oomctl-7-ab/large",
            memcg="/oomctl-7-ab",
            logged=True,
            constraint="memcg",
            order=0,
            invoker_pid=169,
            invoker_comm="oomctl-caller",
        ),
    )


def test_sysrq_has_order_minus_1_and_no_memcg():
    said = Log()
    said.invoked("kworker/0:1", 10, -1)
    said.chose(186, cgroup="/plain2", oom_memcg=None)
    said.killed(186, cause="Out of memory", adj=1000)
    (kill,) = kills(said)
    assert (kill.order, kill.invoker_pid, kill.invoker_comm) == (-1, 10, "kworker/0:1")
    assert (kill.constraint, kill.memcg, kill.cgroup) == ("none", None, "/plain2")
    assert kill.oom_score_adj == 1000


@pytest.mark.parametrize(
    ("cause", "constraint", "allocating"),
    [
        (b"Out of memory", None, False),
        (b"Out of memory (oom_kill_allocating_task)", None, True),
        (b"Memory cgroup out of memory", "memcg", False),
    ],
)
def test_a_kill_without_a_report_has_no_more_than_its_own_record_says(
    cause, constraint, allocating
):
    text = cause + b": Killed process 7 (sh) " + NUMBERS
    plain = OomKill(
        1000, 7, "sh", "victim", 4096, constraint=constraint, allocating=allocating, logged=True
    )
    assert killed(text) == (plain,)


def test_a_kill_whose_report_was_left_out_has_nothing_of_the_one_before():
    said = Log()
    said.reported(7)
    said.killed(8)
    first, second = kills(said)
    assert facts(first) == ("/a/b", "/a", 0, 166, "python3", None)
    assert facts(second) == NOTHING


@pytest.mark.parametrize(
    "end",
    [
        "Out of memory and no killable processes...",
        "Memory cgroup out of memory: OOM victim 9 (x) is already exiting. Skip killing the task",
    ],
)
def test_a_report_without_a_kill_is_not_the_next_ones(end):
    said = Log()
    said.invoked()
    if "victim" in end:
        said.chose(9)
    said.say(end)
    said.killed(8)
    assert [facts(kill) for kill in kills(said)] == [NOTHING]


def test_what_came_after_lost_records_has_no_report_from_before():
    said = Log()
    said.reported(7)
    said.group()
    said.invoked()
    said.chose(8)
    said.killed(8)
    last = said.records[-1]
    said.records[-1] = Record(last.sequence + 9, last.time_us, last.text, after_loss=True)
    assert facts(kills(said)[-1]) == NOTHING


@pytest.mark.parametrize(
    "between",
    [
        ("WARNING: CPU: 0 PID: 99 Comm: python3 at mm/x.c:1 f+0x1/0x2",),
        ("------------[ cut here ]------------",),
        ("CPU: 0 UID: 0 PID: 99 Comm: other Not tainted 6.12",),
    ],
)
def test_only_the_record_after_the_header_names_the_trigger(between):
    said = Log()
    said.invoked()
    said.records[1:1] = [Record(0, 0, text) for text in between]
    said.say("CPU: 0 UID: 0 PID: 98 Comm: python3 Not tainted 6.12")
    said.chose(7)
    said.killed(7)
    (kill,) = kills(said)
    assert (kill.invoker_comm, kill.invoker_pid, kill.cgroup) == ("python3", None, "/a/b")


def test_a_splat_between_report_and_kill_changes_nothing():
    said = Log()
    said.invoked(pid=5)
    said.say("WARNING: CPU: 0 PID: 99 at mm/x.c:1 f+0x1/0x2")
    said.say("CPU: 0 UID: 0 PID: 99 Comm: python3 Not tainted 6.12")
    said.chose(7)
    said.say("CPU: 0 UID: 0 PID: 99 Comm: python3 Not tainted 6.12")
    said.killed(7)
    assert kills(said)[0].invoker_pid == 5


def test_compaction_may_come_before_the_trigger():
    said = Log()
    said.invoked(pid=5, order=3)
    said.records.insert(1, Record(0, 0, "COMPACTION is disabled!!!"))
    said.killed(7)
    assert (kills(said)[0].invoker_pid, kills(said)[0].order) == (5, 3)


@pytest.mark.parametrize("comm", ["a b", "x 6.12 Comm: y", "\x016loud"[2:], "CPU: 1 PID: 4"])
def test_the_comm_of_the_trigger_may_hold_anything(comm):
    said = Log()
    said.invoked(comm, 5)
    said.chose(7)
    said.killed(7)
    assert (kills(said)[0].invoker_pid, kills(said)[0].invoker_comm) == (5, comm)


def test_a_comm_that_printk_takes_for_a_level_is_whole_again():
    said = Log()
    said.invoked("\x016\x014loud", 5)
    first = said.records[0]
    said.records[0] = Record(0, first.time_us, first.text.removeprefix("\x016\x014"))
    said.killed(7)
    assert (kills(said)[0].invoker_pid, kills(said)[0].invoker_comm) == (5, r"\x016\x014loud")


def test_the_victim_of_a_dead_leader_is_the_process():
    said = Log()
    said.invoked()
    said.chose(7, comm="leader")
    said.killed(9, comm="thread")
    (kill,) = kills(said)
    assert (kill.pid, kill.comm, kill.cgroup) == (7, "thread", "/a/b")


def test_the_callers_of_printk_keep_reports_apart():
    said = Log(caller="T166")
    said.invoked()
    other = Log(caller="T5")
    other.say("CPU: 0 UID: 0 PID: 5 Comm: python3 Not tainted")
    said.records[1:1] = other.records
    said.chose(7, cgroup="/a/" + "x" * 900)
    split = [n for n, record in enumerate(said.records) if record.continued][:1]
    other.records.clear()
    other.say("b")
    more = Record(0, 0, "evil,task=hog,pid=7,uid=0", True, "C1")
    said.records[split[0] : split[0]] = [other.records[0], more]
    said.killed(7)
    (kill,) = kills(said)
    assert (kill.invoker_pid, kill.cgroup) == (166, "/a/" + "x" * 900)
    other.killed(8)
    assert facts(kills(other)[0]) == NOTHING


def test_a_report_of_one_caller_is_not_the_kill_of_another():
    said = Log(caller="T1")
    said.invoked()
    said.chose(7)
    said.caller = "T2"
    said.killed(8)
    assert facts(kills(said)[0]) == NOTHING


def test_a_report_of_a_memcg_is_not_a_system_wide_kill():
    said = Log()
    said.invoked()
    said.chose(7)
    said.killed(8, cause="Out of memory")
    assert facts(kills(said)[0]) == NOTHING


def group_kill(said: Log, reported=True) -> Log:
    if reported:
        said.invoked()
        said.chose(41)
    said.killed(41)
    said.group()
    for pid in (40, 41, 42):
        said.killed(pid)
    return said


def test_a_group_kill_tells_each_member_once_and_of_its_group():
    first, *members = kills(group_kill(Log()))
    assert facts(first) == ("/a/b", "/a", 0, 166, "python3", "/a")
    assert [kill.pid for kill in members] == [40, 42]
    assert {facts(kill) for kill in members} == {(None, "/a", 0, 166, "python3", "/a")}


def test_without_a_report_a_member_may_be_the_victim_of_any_call():
    """Reports are limited then, and another OOM's kill looks just the same."""
    first, *members = kills(group_kill(Log(), reported=False))
    assert (first.pid, first.group) == (41, "/a")
    assert [(kill.pid, kill.group) for kill in members] == [(40, None), (42, None)]


def test_once_ten_reports_have_come_in_5_s_the_next_kill_may_be_no_member():
    said = Log()
    for pid in range(1, 10):
        said.reported(pid)
    found = kills(group_kill(said))
    assert [kill.group for kill in found[-3:]] == ["/a", None, None]
    assert found[-1].invoker_pid is None
    said.now_us += 7_000_000
    said.reported(43)
    said.group()
    said.killed(44)
    assert kills(said)[-1].group == "/a"


def test_a_group_of_the_next_oom_is_not_the_last_ones():
    said = group_kill(Log(), reported=False)
    said.killed(51)
    said.group("/other")
    said.killed(51)
    said.killed(50)
    found = {kill.pid: kill.group for kill in kills(said)}
    assert found == {41: "/a", 40: None, 42: None, 51: "/other", 50: None}


def test_the_members_are_told_whose_first_victim_had_ended_already():
    said = Log()
    said.reported(6)
    said.invoked(pid=9, order=3)
    said.chose(7, oom_memcg="/g", cgroup="/g/a")
    skip = "OOM victim 7 (hog) is already exiting. Skip killing the task"
    said.say(f"Memory cgroup out of memory: {skip}")
    said.group("/g")
    said.killed(8)
    assert facts(kills(said)[-1]) == (None, "/g", 3, 9, "python3", "/g")


def test_another_kind_of_oom_is_never_a_member():
    said = group_kill(Log())
    said.killed(9, cause="Out of memory")
    assert facts(kills(said)[-1]) == NOTHING


def test_a_report_after_a_group_ends_it():
    said = group_kill(Log())
    said.reported(9, cgroup="/z", oom_memcg="/z")
    said.killed(10)
    assert [facts(kill) for kill in kills(said)[-2:]] == [
        ("/z", "/z", 0, 166, "python3", None),
        NOTHING,
    ]


def test_a_log_in_two_parts_says_the_same():
    said = group_kill(Log())
    said.reported(9, cgroup="/a/" + "y" * 900)
    whole = kills(said)
    groups = 0
    for cut in range(len(said.records)):
        found = KillsFromLog()
        parts = found.feed(said.records[:cut]) + found.feed(said.records[cut:])
        groups += parts[0].group is None
        parts[0] = whole[0]
        assert parts == whole
    assert groups == 1  # between the first victim and its group


@pytest.mark.parametrize("facility", [1, 3, 4, 10, 23], ids=lambda number: f"facility {number}")
def test_what_user_space_wrote_is_not_the_kernels_word(facility):
    forged = MEMCG_KILL.replace(b"3,", f"{facility << 3 | 3},".encode(), 1)
    assert parse_record(forged) is None
    assert log(forged).kills == ()


@pytest.mark.parametrize(
    "text",
    [
        b"Tasks in /x: Killed process 1 (init) " + NUMBERS + b" are going to be killed",
        b"usb 1-1: Product: Out of memory: Killed process 1 (init) " + NUMBERS,
        b"Memory cgroup out of memory: OOM victim 5 (x) is already exiting. Skip killing the task",
        b"oom_reaper: reaped process 5 (x), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
        b"large invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        b"Out of memory: Killed process x (y) " + NUMBERS,
    ],
)
def test_other_records_are_no_kill(text):
    assert killed(text) == ()


def test_no_killable_processes_is_found():
    assert log(b"4,5,1,-;Out of memory and no killable processes...\n").found_no_killable
    assert not log(MEMCG_KILL).found_no_killable
    forged = b"12,5,1,-;Out of memory and no killable processes...\n"
    assert not log(forged).found_no_killable
    in_a_path = b"4,5,1,-;Tasks in /Out of memory and no killable processes... are going\n"
    assert not log(in_a_path).found_no_killable


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b";",
        b"\n",
        b"3;Out of memory",
        b"3,1;x",
        b"a,b,c,-;x",
        b"-3,1,1,-;x",
        b"3,1,1",
        "٣,1,1,-;x".encode(),
        b"\xff\xfe,1,1,-;x",
    ],
)
def test_garbage_is_no_record(raw):
    record = parse_record(raw)
    assert record is None or record.text == ""


def test_a_record_has_its_text_and_nothing_of_the_dictionary():
    raw = b"6,339,5140900,-,caller=T1;NET: Registered\xff protocol\n SUBSYSTEM=net\n DEVICE=n1\n"
    assert parse_record(raw) == Record(339, 5140900, "NET: Registered\udcff protocol", caller="T1")
    assert parse_record(b"4,1154,26651065,c;/x\n") == Record(1154, 26651065, "/x", continued=True)


def test_the_path_of_a_cgroup_is_taken_as_it_is_not_as_it_is_logged():
    chosen = CHOSEN.replace(b"/large", rb"/a\x5cx2d\xc3\xa9")
    assert log(chosen, MEMCG_KILL).kills[0].cgroup == "/oomctl-7-ab/a\\x2d\u00e9"


@given(st.binary() | st.builds(lambda head, body: head + body, st.just(b"3,1,1,-;"), st.binary()))
def test_any_bytes_are_a_record_or_none_and_never_a_kill_by_accident(raw):
    record = parse_record(raw)
    # a newline comes only where the log wrote it escaped
    assert record is None or "\n" not in record.text or b"\\x0a" in raw
    if b"Killed process" not in raw:
        assert log(raw).kills == ()
