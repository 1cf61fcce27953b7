import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.evidence import KernelLog, Kill, Record, parse_record

# Records as /dev/kmsg gives them: "priority,sequence,microseconds,flags;text\n KEY=value\n".
INVOKED = (
    b"4,1200,98000100,-;oomctl-caller invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, "
    b"oom_score_adj=-1000\n"
)
CHOSEN = (
    b"6,1201,98000200,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"
    b"mems_allowed=0,oom_memcg=/oomctl-7-ab,task_memcg=/oomctl-7-ab/large,task=large,pid=241,"
    b"uid=0\n"
)
MEMCG_KILL = (
    b"3,1202,98000300,-;Memory cgroup out of memory: Killed process 241 (large) total-vm:65544kB, "
    b"anon-rss:65536kB, file-rss:4kB, shmem-rss:8kB, UID:0 pgtables:168kB oom_score_adj:0\n"
)
NUMBERS = (
    b"total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:40kB oom_score_adj:0"
)


def log(*raws: bytes) -> KernelLog:
    return KernelLog(tuple(record for raw in raws if (record := parse_record(raw))))


def killed(text: bytes) -> tuple[Kill, ...]:
    return log(b"3,1,1,-;" + text + b"\n").kills


def test_a_memcg_kill_with_its_cgroup():
    assert log(INVOKED, CHOSEN, MEMCG_KILL).kills == (
        Kill(241, "large", (65536 + 4 + 8) * 1024, "/oomctl-7-ab/large"),
    )


def test_a_kill_whose_report_was_rate_limited_has_no_cgroup():
    assert log(MEMCG_KILL).kills[0].memcg is None


@pytest.mark.parametrize(
    "cause",
    [
        b"Out of memory",
        b"Out of memory (oom_kill_allocating_task)",
        b"Memory cgroup out of memory",
    ],
)
def test_every_cause_of_the_kernel_counts(cause):
    assert killed(cause + b": Killed process 7 (sh) " + NUMBERS) == (Kill(7, "sh", 4096),)


def test_a_group_kill_reports_its_first_victim_twice_and_it_counts_once():
    def member(pid: int, sequence: int) -> bytes:
        head = f"3,{sequence},1,-;Memory cgroup out of memory: Killed process {pid} (hog-{pid}) "
        return head.encode() + NUMBERS + b"\n"

    group = (
        b"6,12,1,-;Tasks in /t are going to be killed due to memory.oom.group set\n",
        member(41, 11),
        member(41, 13),
        member(42, 14),
    )
    assert [kill.pid for kill in log(*group).kills] == [41, 42]


def escaped(comm: str) -> str:
    r"""Write a comm as /dev/kmsg does; `comm` has a control character as \n or \x1b."""
    return comm.replace(r"back\slash", r"back\x5cslash").replace(r"\n", r"\x0a")


@pytest.mark.parametrize(
    "comm",
    [
        "(sd-pam)",
        "a) (b",
        "Web Content",
        r"new\nline",
        r"\x1b[31mred",
        r"back\slash",
        "",
        "x,pid=1,uid=0",
        ") total-vm:1kB",
        "process 1 (x)",
    ],
)
def test_a_comm_may_hold_anything(comm):
    text = f"Out of memory: Killed process 77 ({escaped(comm)}) ".encode() + NUMBERS
    assert killed(text) == (Kill(77, comm, 4096),)
    chosen = f"6,1,1,-;oom-kill:global_oom,task_memcg=/u,task={escaped(comm)},pid=77,uid=0\n"
    found = log(chosen.encode(), b"3,2,1,-;" + text + b"\n").kills
    assert found == (Kill(77, comm, 4096, "/u"),)


def test_a_cgroup_path_with_commas_and_spaces():
    raw = CHOSEN.replace(b"task_memcg=/oomctl-7-ab/large", b"task_memcg=/a,task=b, c/d")
    assert log(raw, MEMCG_KILL).kills[0].memcg == "/a,task=b, c/d"


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
    assert parse_record(raw) == Record(339, 5140900, "NET: Registered\udcff protocol")


def test_the_path_of_a_cgroup_is_taken_as_it_is_not_as_it_is_logged():
    chosen = rb"6,1,1,-;oom-kill:global_oom,task_memcg=/a\x5cx2d\xc3\xa9,task=t,pid=7,uid=0" b"\n"
    text = b"3,2,1,-;Out of memory: Killed process 7 (t) " + NUMBERS + b"\n"
    assert log(chosen, text).kills == (Kill(7, "t", 4096, "/a\\x2d\u00e9"),)


@given(st.binary() | st.builds(lambda head, body: head + body, st.just(b"3,1,1,-;"), st.binary()))
def test_any_bytes_are_a_record_or_none_and_never_a_kill_by_accident(raw):
    record = parse_record(raw)
    # a newline comes only where the log wrote it escaped
    assert record is None or "\n" not in record.text or b"\\x0a" in raw
    if b"Killed process" not in raw:
        assert log(raw).kills == ()
