"""What a caller left in the program's map or in shared memory becomes a result or an error."""

import errno
import os
import select

import pytest

from oomctl.bpf.declare import CallResultStruct
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.experiment import triggers
from oomctl.experiment.callers import CallerEnd, SharedResult
from oomctl.experiment.triggers import Declaration, Rechecked, Write, trigger
from oomctl.files.kernelfile import KernelFileError
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.plan import Call, Recheck, Step
from oomctl.oom.verdict import judge

M = 1 << 20


class DeclareProgram:
    """A fake kernel: each run takes the next return value, or an errno of bpf(2)."""

    def __init__(self, *rets, stage=Stage.CALLED, ended=300, status=0):
        self.rets, self.stage, self.ended, self.status = [*rets], stage, ended, status
        self.runs, self.raw = [], {}

    def clear(self, slots):
        self.raw = {}

    def run(self, call, cgroup_id, slot):
        self.runs.append((call, cgroup_id, slot))
        ret = self.rets.pop(0)
        self.raw[slot] = CallResultStruct(
            began_ns=100, ended_ns=self.ended, ret=ret, stage=self.stage
        )
        return self.status

    def read(self, slot):
        return self.raw.get(slot, CallResultStruct())


def killed(number=3):
    return CallerEnd(number, 7, None, False, "the caller (pid 7)", "was killed by SIGKILL")


def pulled(trigger, number=3, timed_out=False):
    shared = SharedResult()
    status = trigger.pull(number, shared)
    return trigger.result(CallerEnd(number, 7, status, timed_out), shared)


@pytest.mark.parametrize("ret", [1, 0, -16, -22])
def test_a_call_that_returned(ret):
    program = DeclareProgram(ret)
    result = pulled(Declaration(program, Call("/t", 2, 1), 42))
    assert result == CallResult(Stage.CALLED, 100, 300, ret, caller=7)
    assert program.runs == [(Call("/t", 2, 1), 42, 3)]


def test_a_call_that_has_not_returned_has_no_value():
    late = pulled(Declaration(DeclareProgram(0, ended=0), Call("/t"), 42), timed_out=True)
    assert late.ret is None
    assert late.timed_out


@pytest.mark.parametrize(
    ("stage", "error", "says"),
    [
        (Stage.NOT_RUN, OomctlError, "the caller ended before it called the kfunc"),
        (Stage.NO_CGROUP, UnsupportedError, "no memory controller for the target"),
        (Stage.NO_MEMCG, UnsupportedError, "no memory controller for the target"),
        (Stage.ROOT, UnsupportedError, "root cgroup"),
        (Stage.NOT_SCHEDULED, UnsupportedError, "in task work: Device or resource busy"),
    ],
)
def test_a_call_that_was_not_made(stage, error, says):
    with pytest.raises(error, match=says):
        pulled(Declaration(DeclareProgram(-errno.EBUSY, stage=stage), Call("/t"), 42))


def test_a_program_that_the_kernel_did_not_run():
    with pytest.raises(UnsupportedError, match="did not run oomctl's BPF program: Operation not"):
        pulled(Declaration(DeclareProgram(0, status=errno.EPERM), Call("/t"), 42))


@pytest.fixture
def target(cgroupfs):
    node = cgroupfs.create_cgroup("t")
    (node.directory / "memory.current").write_text(f"{100 * M}\n")
    return node


def step(via="bpf", recheck=None, amount=None):
    return Step(Call("/t", 0, 0, via, amount), recheck=recheck)


def test_recheck_tries_again_while_the_lock_is_held(journal, target):
    program = DeclareProgram(-errno.EBUSY, -errno.EBUSY, 1)
    with trigger(step(recheck=Recheck(80 * M, 0.0)), target, program, journal) as rechecked:
        result = pulled(rechecked)
    assert (result.ret, result.attempts, result.spared) == (1, 3, False)


def test_recheck_gives_up_when_the_memory_is_back(journal, target):
    program = DeclareProgram(*[-errno.EBUSY] * 99)

    class Freeing(Declaration):
        def pull(self, number, shared):
            if shared.attempts == 4:
                (target.directory / "memory.current").write_text(f"{80 * M}\n")
            return super().pull(number, shared)

    rechecked = Rechecked(Freeing(program, Call("/t"), 42), target, Recheck(80 * M, 0.0))
    result = pulled(rechecked)
    assert (result.ret, result.attempts, result.spared) == (None, 5, True)
    assert result.duration_ns > 0


def test_recheck_does_not_call_if_the_usage_is_low_enough(journal, target):
    program = DeclareProgram()
    with trigger(step(recheck=Recheck(100 * M)), target, program, journal) as rechecked:
        result = pulled(rechecked)
    assert (result.attempts, result.spared, program.runs) == (0, True, [])


class Poll:
    """A poll() that reports these events."""

    def __init__(self, events):
        self.events = events

    def register(self, fd, _wanted):
        self.fd = fd

    def poll(self):
        return [(self.fd, self.events)]


def test_a_stall_is_waited_for_and_then_the_kfunc_is_called(journal, target, monkeypatch):
    (target.directory / "memory.pressure").write_text("")
    monkeypatch.setattr(select, "poll", lambda: Poll(select.POLLPRI))
    program = DeclareProgram(1)
    with trigger(step("psi"), target, program, journal) as stall:
        assert pulled(stall).ret == 1
    assert (target.directory / "memory.pressure").read_text() == "full 50000 1000000"


def test_a_target_that_goes_while_a_stall_is_waited_for(journal, target, monkeypatch):
    (target.directory / "memory.pressure").write_text("")
    monkeypatch.setattr(select, "poll", lambda: Poll(select.POLLERR))
    with (
        trigger(step("psi"), target, DeclareProgram(), journal) as stall,
        pytest.raises(UnsupportedError, match=r"memory\.pressure was removed while a stall was"),
    ):
        pulled(stall)


def test_a_kernel_without_psi(journal, target):
    with (
        trigger(step("psi"), target, DeclareProgram(), journal) as stall,
        pytest.raises(KernelFileError, match=r"cannot open .*memory\.pressure.*CONFIG_PSI"),
    ):
        pulled(stall)


def test_a_caller_that_no_stall_came_for(journal, target):
    with (
        trigger(step("psi"), target, DeclareProgram(), journal) as stall,
        pytest.raises(OomctlError, match="was killed by SIGKILL while it waited for 'full 50000 "),
    ):
        stall.result(killed(), SharedResult())


@pytest.mark.parametrize(
    ("amount", "limit"),
    [(30 * M, 70 * M), (200 * M, 0), (None, 100 * M - triggers.default_amount())],
)
def test_a_limit_below_the_usage_is_restored(journal, target, monkeypatch, amount, limit):
    """The caller itself restores it as soon as the write has returned."""
    (target.directory / "memory.max").write_text("max\n")
    written = []
    monkeypatch.setattr(triggers, "_write", lambda path, text: written.append(text) or 0)
    with trigger(step("limit", amount=amount), target, DeclareProgram(), journal) as write:
        assert write.limit == limit
        result = pulled(write)
        assert written == [f"{limit}", "max"]
    assert (result.ret, result.attempts, result.caller) == (0, 1, 7)
    assert result.began_ns <= result.ended_ns


def test_a_limit_is_restored_if_its_caller_was_killed(journal, target):
    path = target.directory / "memory.max"
    path.write_text("max\n")
    with trigger(step("limit", amount=30 * M), target, DeclareProgram(), journal) as write:
        path.write_text(f"{write.limit}\n")
    assert path.read_text().startswith("max")


def test_a_limit_is_restored_after_an_error(journal, target):
    (target.directory / "memory.max").write_text("123456789\n")
    with (
        pytest.raises(OomctlError, match="was killed by SIGKILL before it wrote"),
        trigger(step("limit"), target, DeclareProgram(), journal) as write,
    ):
        write.result(killed(), SharedResult())
    assert (target.directory / "memory.max").read_text().startswith("123456789")


def test_a_write_that_the_kernel_refuses_is_a_result(tmp_path):
    result = pulled(Write(tmp_path / "missing", "f"))
    assert (result.ret, result.errno_name) == (-errno.ENOENT, "ENOENT")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_write_without_a_free_descriptor_is_an_error_of_oomctl(tmp_path, monkeypatch, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OomctlError, match="cannot write"):
        Write(tmp_path / "x", "f").pull(0, SharedResult())


def test_a_writer_that_died_before_it_wrote(tmp_path):
    with pytest.raises(OomctlError, match=f"was killed by SIGKILL before it wrote {tmp_path}/x"):
        Write(tmp_path / "x", "f").result(killed(), SharedResult())


@pytest.mark.parametrize(("ended", "ret", "when"), [(0, None, "while"), (9, -16, "after")])
def test_a_writer_that_was_killed_says_when(tmp_path, ended, ret, when):
    shared = SharedResult(began_ns=5, ended_ns=ended, ret=-16)
    result = Write(tmp_path / "x", "f").result(killed(), shared)
    assert result.ret == ret
    assert result.failed == f"the caller (pid 7) was killed by SIGKILL {when} it wrote {tmp_path}/x"
    assert judge(result, (), 0, False).name == ("no-answer" if ret is None else "busy")


def test_a_writer_that_has_not_returned(tmp_path):
    result = Write(tmp_path / "x", "f").result(
        CallerEnd(0, 7, None, True), SharedResult(began_ns=5)
    )
    assert (result.ret, result.duration_ns, result.timed_out) == (None, None, True)


def test_cgroup_kill_and_sysrq_are_one_write(journal, target, tmp_path, monkeypatch):
    monkeypatch.setattr(triggers, "_SYSRQ", tmp_path / "sysrq")
    (tmp_path / "sysrq").touch()
    with trigger(step("kill"), target, DeclareProgram(), journal) as write:
        assert pulled(write).ret == 0
    assert (target.directory / "cgroup.kill").read_text() == "1"
    with trigger(Step(Call(None, via="sysrq")), None, DeclareProgram(), journal) as write:
        assert pulled(write).ret == 0
    assert (tmp_path / "sysrq").read_text() == "f"


def test_reclaim_that_is_enough_does_not_call_the_kfunc(journal, target):
    (target.directory / "memory.reclaim").touch()
    program = DeclareProgram()
    with trigger(step("reclaim", amount=5 * M), target, program, journal) as first:
        result = pulled(first)
    assert (target.directory / "memory.reclaim").read_text() == str(5 * M)
    assert (result.ret, result.reclaimed, program.runs) == (None, 0, [])


def test_reclaim_that_is_not_enough_is_followed_by_the_kfunc(journal, target):
    with trigger(
        step("reclaim"), target, program := DeclareProgram(1), journal
    ) as first:  # no such file: -ENOENT
        result = pulled(first)
    assert (result.ret, result.reclaimed, result.attempts) == (1, 0, 1)
    assert program.runs == [(Call("/t", 0, 0, "reclaim"), target.id, 3)]


@pytest.mark.parametrize(
    ("shared", "when"),
    [
        ({}, "before it wrote"),
        ({"wrote_reclaim": 1, "began_ns": 5}, "while it wrote"),
        (
            {"wrote_reclaim": 1, "began_ns": 5, "ended_ns": 9, "ret": -11, "reclaimed": 4096},
            "after memory.reclaim, before it called the kfunc",
        ),
    ],
)
def test_reclaim_that_was_cut_off_has_no_result(journal, target, shared, when):
    with (
        trigger(step("reclaim"), target, DeclareProgram(), journal) as first,
        pytest.raises(OomctlError, match=f"was killed by SIGKILL {when}"),
    ):
        first.result(killed(), SharedResult(**shared))


def test_reclaim_that_was_done_when_its_caller_was_killed_is_a_result(journal, target):
    shared = SharedResult(wrote_reclaim=1, began_ns=5, ended_ns=9, reclaimed=4096)
    with trigger(step("reclaim"), target, DeclareProgram(), journal) as first:
        result = first.result(killed(), shared)
    assert (result.reclaimed, result.ret) == (4096, None)
    verdict = judge(result, (), 0, False)
    assert verdict.name == "reclaimed"
    assert "was killed by SIGKILL after memory.reclaim" in verdict.reason


def test_reclaim_in_a_removed_target_is_an_error_of_the_caller(journal, target):
    with trigger(step("reclaim"), target, DeclareProgram(), journal) as first:
        (target.directory / "memory.current").unlink()
        with pytest.raises(OomctlError, match=r"cannot read .*memory.current"):
            first.pull(0, SharedResult())


@pytest.mark.parametrize(("attempts", "when"), [(1, "before it called"), (2, "between two tries")])
def test_a_rechecking_caller_that_was_killed_before_a_try(journal, target, attempts, when):
    with (
        trigger(step(recheck=Recheck(1)), target, DeclareProgram(), journal) as rechecked,
        pytest.raises(OomctlError, match=f"SIGKILL {when}"),
    ):
        rechecked.result(killed(), SharedResult(attempts=attempts))


def test_a_rechecking_caller_that_was_killed_after_a_busy_try(journal, target):
    program = DeclareProgram()
    with trigger(step(recheck=Recheck(1)), target, program, journal) as rechecked:
        program.raw[3] = CallResultStruct(
            began_ns=5, ended_ns=9, ret=-errno.EBUSY, stage=Stage.CALLED
        )
        with pytest.raises(OomctlError, match="SIGKILL between two tries"):
            rechecked.result(killed(), SharedResult(attempts=3))
        late = CallerEnd(3, 7, None, True)
        assert rechecked.result(late, SharedResult(attempts=3)).ret == -errno.EBUSY


@pytest.mark.parametrize(
    ("ended", "ret", "name", "says"),
    [
        (0, 0, "no-answer", "the caller (pid 7) was killed by SIGKILL during the call"),
        (9, -errno.EINTR, "interrupted", "(pid 7) was killed by SIGKILL while it waited for oom_"),
        (9, -errno.EBUSY, "busy", "; the caller (pid 7) was killed by SIGKILL after the call"),
    ],
)
def test_a_caller_that_was_killed_in_the_kfunc_or_after_it(ended, ret, name, says):
    program = DeclareProgram()
    program.raw[3] = CallResultStruct(began_ns=5, ended_ns=ended, ret=ret, stage=Stage.CALLED)
    result = Declaration(program, Call("/t"), 42).result(killed(), SharedResult(attempts=1))
    verdict = judge(result, (), 0, False)
    assert verdict.name == name
    assert says in verdict.reason


def test_an_exception_in_the_caller_is_not_an_errno_of_the_kernel():
    error = UnsupportedError("cannot write '0' to /x: Permission denied", "run it as root")
    ended = CallerEnd(3, 7, 255, False, "the caller (pid 7)", "failed", error)
    with pytest.raises(UnsupportedError) as caught:
        Declaration(DeclareProgram(), Call("/t"), 42).result(ended, SharedResult(attempts=1))
    assert str(caught.value) == (
        "the caller (pid 7) failed before it called the kfunc: cannot write '0' to /x: "
        "Permission denied; run it as root"
    )


def test_a_target_without_the_memory_controller_is_refused(journal, target):
    (target.directory / "memory.current").unlink()
    with (
        pytest.raises(UnsupportedError, match="has no memory controller"),
        trigger(step("limit"), target, DeclareProgram(), journal),
    ):
        pass
