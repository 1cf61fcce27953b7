"""Any sequence of kills in the kernel log: none has a fact of another."""

from hypothesis import given
from hypothesis import strategies as st

from tests.klogs import Log
from tests.unit.oom.klogs import (
    facts,
    kills,
)


class Kernel:
    """An OOM killer with the kernel's limit on reports; knows what is true of each kill."""

    def __init__(self, caller: str) -> None:
        self.said = Log(caller)
        self.callers = bool(caller)
        self.reports: list[int] = []
        self.truth: dict[int, tuple] = {}
        self.pid = 100

    def happens(self, what: str, wait_s: int, invoker: int) -> None:
        self.said.now_us += wait_s * 1_000_000
        self.said.caller = f"T{invoker}" if self.callers else ""
        if what == "splat":
            self.said.say("WARNING: CPU: 0 PID: 3 at mm/x.c:1 f+0x1/0x2")
            self.said.say("CPU: 0 UID: 0 PID: 3 Comm: python3 Tainted: G 6.12")
            return
        if what == "none":
            self.said.invoked(pid=invoker)
            self.said.say("Out of memory and no killable processes...")
            return
        self.pid += 10
        top, system_wide = f"/top-{self.pid}", what == "global"
        cause = "Out of memory" if system_wide else "Memory cgroup out of memory"
        self.reports = [at for at in self.reports if self.said.now_us - at < 5_000_000]
        if len(self.reports) < 10:
            self.said.invoked(pid=invoker, order=self.pid)
            self.said.chose(self.pid, cgroup=f"{top}/a", oom_memcg=None if system_wide else top)
            self.reports.append(self.said.now_us)
        shared = (None if system_wide else top, self.pid, invoker, "python3")
        self.truth[self.pid] = (f"{top}/a", *shared, None)
        if what == "skipped":
            del self.truth[self.pid]
            self.said.say(
                f"{cause}: OOM victim {self.pid} (x) is already exiting. Skip killing the task"
            )
        else:
            self.said.killed(self.pid, cause=cause)
        if what in ("group", "skipped"):
            self.said.group(top)
            for pid in (self.pid + 1, self.pid, self.pid + 2):
                self.truth[pid] = (f"{top}/a", *shared, top)
                self.said.killed(pid, cause=cause)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["single", "group", "global", "skipped", "none", "splat"]),
            st.sampled_from([0, 0, 0, 0, 1, 6]),
            st.integers(5, 7),
        ),
        max_size=40,
    ),
    st.sampled_from(["", "T1"]),
    st.just((0, 0)) | st.tuples(st.integers(0, 99), st.integers(1, 9)),
)
def test_no_kill_of_any_sequence_has_a_fact_of_another(sequence, caller, lost):
    kernel = Kernel(caller)
    for what, wait_s, invoker in sequence:
        kernel.happens(what, wait_s, invoker)
    records, (start, number) = kernel.said.records, lost
    after = [one._replace(after_loss=True) for one in records[start + number :][:1]]
    if number:
        records[start : start + number + 1] = after
    found = kills(kernel.said)
    if not number:
        assert sorted(kill.pid for kill in found) == sorted(kernel.truth)
    for kill in found:
        for told, true in zip(facts(kill), kernel.truth[kill.pid], strict=True):
            assert told in (None, true)
