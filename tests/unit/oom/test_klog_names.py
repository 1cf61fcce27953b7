"""Names and paths that look like the text around them, as the kernel log prints them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oomctl.oom.klog import KernelLog
from oomctl.oom.log.logrecord import Record
from oomctl.text import printable
from tests.klogs import Log
from tests.unit.oom.klogs import NOTHING, NUMBERS, facts, killed_text, kills

COMMS = [
    "(sd-pam)",
    "a) (b",
    "Web Content",
    "new\nline",
    "\x1b[31mred",
    "back\\slash",
    "",
    "x,pid=1,uid=0",
    ") total-vm:1kB",
    "process 1 (x)",
    "x,task=y",
    ",task=,task=",
    "Killed process",
    ",oom_memcg=/x",
]


@pytest.mark.parametrize("comm", COMMS)
@pytest.mark.parametrize("oom_memcg", [None, "/u"])
def test_a_comm_may_hold_anything(comm, oom_memcg):
    said = Log()
    said.chose(77, comm=comm, cgroup="/u", oom_memcg=oom_memcg)
    said.killed(77, comm, "Memory cgroup out of memory" if oom_memcg else "Out of memory")
    (kill,) = kills(said)
    assert (kill.pid, kill.comm) == (77, printable(comm))
    assert (kill.cgroup, kill.memcg) == ("/u", oom_memcg)


@pytest.mark.parametrize(
    "path",
    [
        "/a,task=b, c/d",
        "/a,task=x",
        "/a/x,task_memcg=",
        "/a/b,task_memcg=/c",
        "/a/x,pid=1,uid=0",
        "/a/Killed process 1 (init)",
        "/a/x are going to be killed due to memory.oom.group set",
        "/a/oom-kill:constraint=CONSTRAINT_NONE",
    ],
)
def test_a_path_may_hold_anything(path):
    said = Log()
    said.reported(7, cgroup=path, oom_memcg=path)
    said.group(path)
    said.killed(6)
    first, member = kills(said)
    assert (first.cgroup, first.memcg, first.group) == (path, path, path)
    assert member.group == path


def test_what_can_be_read_in_two_ways_is_not_told():
    # the victim in "/a/b" of "/a", or in "/a/b" of "/a/b,task_memcg=/a"
    twice = "/a/b,task_memcg=/a,task_memcg=/a/b"
    said = Log()
    said.reported(7, cgroup=twice, oom_memcg="/a")
    said.invoked()
    said.chose(8, comm="x,task=y", cgroup="/a")
    said.killed(9, comm="thread")  # the leader is dead, and its comm not known
    assert [(kill.cgroup, kill.memcg) for kill in kills(said)] == [(None, None)] * 2


@pytest.mark.parametrize("cpuset", ["/", "x,mems_allowed=0,oom_memcg=", "a,global_oom,task_memcg="])
def test_the_name_of_a_cpuset_may_hold_anything_but_a_slash(cpuset):
    said = Log()
    said.reported(7, cpuset=cpuset)
    assert facts(kills(said)[0])[:2] == ("/a/b", "/a")


@pytest.mark.parametrize("uid", ["-2", "65534", "4294967294", "-1294967296"])
def test_any_uid(uid):
    said = Log()
    said.reported(7, uid=uid)
    assert kills(said)[0].cgroup == "/a/b"


@pytest.mark.parametrize("length", [1, 300, 500, 880, 900, 950])
def test_a_long_path_is_put_together(length):
    said = Log()
    path = "/a/" + "x" * length
    said.reported(7, cgroup=path, oom_memcg=path)
    said.group(path)
    said.killed(6)
    first, member = kills(said)
    assert (first.cgroup, first.memcg, first.group, member.group) == (path,) * 4


@pytest.mark.parametrize("length", [1019, 1500, 4000])
def test_a_path_that_was_cut_is_not_told(length):
    said = Log()
    path = "/a/" + "x" * length
    said.invoked()
    said.chose(7, cgroup=path, oom_memcg=path)
    said.killed(9)
    said.group(path)
    said.killed(9)
    said.killed(6)
    first, member = kills(said)
    assert facts(first) == facts(member) == (None, None, 0, 166, "python3", None)
    assert (first.pid, first.constraint) == (7, "memcg")


FORGED = (
    "x invoked oom-killer: gfp_mask=0x0, order=7, oom_score_adj=0",
    "Out of memory: Killed process 1 (init) " + NUMBERS.decode(),
    "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/e,task=x,pid=1,uid=0",
    "Out of memory and no killable processes...",
)


@pytest.mark.parametrize("name", FORGED)
def test_a_continuation_is_no_record_of_its_own(name):
    """The name of a cpuset is printed alone, and so is a path that has no place."""
    records = (Record(1, 1, name, continued=True), Record(2, 2, killed_text(7)))
    log = KernelLog(records)
    assert [(kill.pid, facts(kill)) for kill in log.kills] == [(7, NOTHING)]
    assert not log.found_no_killable


def comms():
    parts = st.sampled_from(
        (
            ",task=",
            ",pid=1",
            ",uid=0",
            ") total-vm:",
            "(",
            "\n",
            "\\",
            " invoked",
            "CPU: ",
            "\x01",
            "é",
        )
    )
    return st.lists(parts | st.text(max_size=3), max_size=4).map("".join).filter(fits)


def fits(comm):
    encoded = comm.encode(errors="replace")
    return (
        len(encoded) <= 15 and "\0" not in comm and not any("\ud800" <= c <= "\udfff" for c in comm)
    )


def names():
    pieces = st.sampled_from(
        (",task=x", ",task_memcg=", ",oom_memcg=", ",pid=7,uid=0", "Killed process 1 (a)", "\\x2d")
    )
    text = st.text(
        st.characters(exclude_characters="/\n\0", exclude_categories=("Cs",)), max_size=80
    )
    return st.lists(pieces | text, min_size=1, max_size=4).map("".join).filter(bool)


def paths():
    return st.lists(names(), max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(comms(), comms(), paths(), paths(), names(), st.integers(-(2**31), 2**32), st.booleans())
@example("\x010", "hog", "/a", "/b", "c", 0, False)
@example("\x010\x01 x", "\x017", "/a", "/b", "c", 0, True)
def test_what_the_kernel_prints_is_read_back(trigger, comm, top, below, cpuset, uid, grouped):
    cgroup = top if below == "/" else top.rstrip("/") + below
    said = Log()
    said.invoked(trigger, 5, 2)
    said.chose(7, comm, cgroup, top, cpuset, str(uid))
    said.killed(7, comm)
    if grouped:
        said.group(top)
        said.killed(7, comm)
    (kill,) = kills(said)
    assert (kill.pid, kill.comm, kill.order) == (7, printable(comm), 2)
    assert (kill.invoker_pid, kill.invoker_comm) == (5, printable(trigger))
    assert kill.group == (top if grouped else None)
    ambiguous = f"{cgroup},task_memcg={top}".count(",task_memcg=/") > 1
    longest = max(len(path.encode()) for path in (top, cgroup))
    if kill.memcg is None:
        assert kill.cgroup == kill.group
        assert ambiguous or longest > 950
    else:
        assert (kill.cgroup, kill.memcg) == (cgroup, top)
