"""What a caller left in the program's map or in shared memory becomes a result or an error."""

import errno
import os

import pytest

from oomctl.bpf.declare import CallResultStruct
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.experiment import triggers
from oomctl.experiment.caller import CallerEnd, SharedResult
from oomctl.experiment.callers import call_together
from oomctl.experiment.triggers import Declaration, Write, trigger
from oomctl.files.kernelfile import KernelFileError
from oomctl.oom.call import CallResult, Stage
from oomctl.oom.plan import Call, Recheck, Step
from oomctl.oom.verdict import judge
from oomctl.proc.pidfd import PidfdWatch

M = 1 << 20


class DeclareProgram:
    """A program that has left this result for each caller."""

    def __init__(self, ret=0, stage=Stage.CALLED, ended=300):
        self.left = CallResultStruct(began_ns=100, ended_ns=ended, ret=ret, stage=stage)

    def clear(self, slots):
        pass

    def words(self, call, cgroup_id):
        return {"call": call, "cgroup": cgroup_id}

    def read(self, slot):
        return self.left


def killed(number=3):
    return CallerEnd(number, 7, None, False, "the caller (pid 7)", "was killed by SIGKILL")


def result_of(trigger, status=0, timed_out=False, **left):
    """Return the result of a caller that has left this in shared memory."""
    left = {"attempts": 1, **left}
    return trigger.result(CallerEnd(3, 7, status, timed_out), SharedResult(**left))


@pytest.mark.parametrize("ret", [1, 0, -16, -22])
def test_a_call_that_returned(ret):
    kfunc = Declaration(DeclareProgram(ret), Call("/t", 2, 1), 42)
    assert result_of(kfunc) == CallResult(Stage.CALLED, 100, 300, ret, caller=7)
    assert kfunc.words == {"call": Call("/t", 2, 1), "cgroup": 42}


def test_a_call_that_has_not_returned_has_no_value():
    late = result_of(Declaration(DeclareProgram(ended=0), Call("/t"), 42), timed_out=True)
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
        result_of(Declaration(DeclareProgram(-errno.EBUSY, stage), Call("/t"), 42))


def test_a_program_that_the_kernel_did_not_run():
    with pytest.raises(UnsupportedError, match="did not run oomctl's BPF program: Operation not"):
        result_of(Declaration(DeclareProgram(), Call("/t"), 42), status=errno.EPERM)


@pytest.fixture
def target(cgroupfs):
    node = cgroupfs.create_cgroup("t")
    (node.directory / "memory.current").write_text(f"{100 * M}\n")
    return node


def step(via="bpf", recheck=None, amount=None):
    return Step(Call("/t", 0, 0, via, amount), recheck=recheck)


@pytest.fixture
def pulled(journal, target):
    """Pull the trigger of a step in a caller; its program is no BPF program."""

    def pull(wanted, at=target, **fake):
        with (
            open(os.devnull) as program,
            PidfdWatch() as watch,
            trigger(wanted, at, DeclareProgram(**fake), journal) as made,
        ):
            passed = {"program": program.fileno(), "results": program.fileno(), "order": "0"}
            if "call" in made.words:
                made.words = {**made.words, **passed}
                del made.words["call"]
            return call_together(made, 1, watch, 20)[0]

    return pull


NOT_CALLED = r"failed before it called the kfunc: cannot access a BPF map: "


@pytest.mark.parametrize(("above", "calls"), [(100 * M, False), (100 * M - 1, True)])
def test_recheck_calls_only_if_the_usage_is_above(pulled, above, calls):
    wanted = step(recheck=Recheck(above, 0.0))
    if calls:
        with pytest.raises(OomctlError, match=NOT_CALLED):
            pulled(wanted, stage=Stage.NOT_RUN)
    else:
        result = pulled(wanted)
        assert (result.ret, result.attempts, result.spared) == (None, 0, True)
        assert result.duration_ns > 0


def test_recheck_without_a_usage_is_an_error(pulled, target):
    (target.directory / "memory.current").unlink()
    with pytest.raises(OomctlError, match=r"cannot read .*memory\.current: No such file"):
        pulled(step(recheck=Recheck(1)), stage=Stage.NOT_RUN)


def test_what_a_rechecking_caller_is_asked(journal, target):
    with trigger(step(recheck=Recheck(80 * M, 0.25)), target, DeclareProgram(), journal) as made:
        usage = str(target.directory / "memory.current")
        asked = {"usage": usage, "above": 80 * M, "every": 250_000_000}
        assert asked.items() <= made.words.items()
        assert "write" not in made.words


def test_what_a_caller_is_asked_that_waits_for_a_stall(journal, target):
    with trigger(step("psi"), target, DeclareProgram(), journal) as made:
        pressure = str(target.directory / "memory.pressure")
        assert {"stall": pressure, "text": "full 50000 1000000"}.items() <= made.words.items()


def test_a_kernel_without_psi(pulled):
    with pytest.raises(KernelFileError, match=r"cannot open .*memory\.pressure.*CONFIG_PSI"):
        pulled(step("psi"))


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
def test_a_limit_below_the_usage(journal, target, amount, limit):
    (target.directory / "memory.max").write_text("max\n")
    with trigger(step("limit", amount=amount), target, DeclareProgram(), journal) as write:
        assert write.limit == limit
        path = str(target.directory / "memory.max")
        assert write.words == {"write": path, "text": str(limit), "was": "max"}


def test_a_limit_is_written_and_restored_by_its_caller(pulled, target):
    """It restores the limit as soon as the write has returned."""
    os.mkfifo(target.directory / "pipe")
    reader = os.open(target.directory / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    limit = triggers.Limit(target, 4096, "max")
    limit.words = {**limit.words, "write": str(target.directory / "pipe")}
    with PidfdWatch() as watch:
        (result,) = call_together(limit, 1, watch, 20)
    assert os.read(reader, 99) == b"4096max"
    os.close(reader)
    assert (result.ret, result.attempts) == (0, 1)
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
    with PidfdWatch() as watch:
        (result,) = call_together(Write(tmp_path / "missing", "f"), 1, watch, 20)
    assert (result.ret, result.errno_name) == (-errno.ENOENT, "ENOENT")


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


def test_cgroup_kill_and_sysrq_are_one_write(pulled, target, tmp_path, monkeypatch):
    monkeypatch.setattr(triggers, "_SYSRQ", tmp_path / "sysrq")
    for path in (target.directory / "cgroup.kill", tmp_path / "sysrq"):
        path.touch()
    assert pulled(step("kill")).ret == 0
    assert (target.directory / "cgroup.kill").read_text() == "1"
    assert pulled(Step(Call(None, via="sysrq")), None).ret == 0
    assert (tmp_path / "sysrq").read_text() == "f"


def test_reclaim_that_is_enough_does_not_call_the_kfunc(pulled, target):
    (target.directory / "memory.reclaim").touch()
    result = pulled(step("reclaim", amount=5 * M))
    assert (target.directory / "memory.reclaim").read_text() == str(5 * M)
    assert (result.ret, result.reclaimed, result.attempts) == (None, 0, 0)


def test_reclaim_that_is_not_enough_is_followed_by_the_kfunc(pulled):
    with pytest.raises(OomctlError, match=NOT_CALLED):  # no such file: -ENOENT
        pulled(step("reclaim"), stage=Stage.NOT_RUN)


def test_reclaim_that_was_followed_by_the_kfunc_has_both_results(journal, target):
    with trigger(step("reclaim"), target, DeclareProgram(1), journal) as first:
        result = result_of(first, wrote_reclaim=1, reclaimed=4096, ret=-11, began_ns=5, ended_ns=9)
    assert (result.ret, result.reclaimed, result.attempts) == (1, 4096, 1)
    assert first.words["call"] == Call("/t", 0, 0, "reclaim")
    assert first.words["cgroup"] == target.id


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


def test_reclaim_in_a_removed_target_is_an_error_of_the_caller(pulled, target):
    (target.directory / "memory.current").unlink()
    with pytest.raises(OomctlError, match=r"before it wrote .*: cannot read .*memory.current"):
        pulled(step("reclaim"))


@pytest.mark.parametrize(("attempts", "when"), [(1, "before it called"), (2, "between two tries")])
def test_a_rechecking_caller_that_was_killed_before_a_try(journal, target, attempts, when):
    program = DeclareProgram(stage=Stage.NOT_RUN)
    with (
        trigger(step(recheck=Recheck(1)), target, program, journal) as rechecked,
        pytest.raises(OomctlError, match=f"SIGKILL {when}"),
    ):
        rechecked.result(killed(), SharedResult(attempts=attempts))


def test_a_rechecking_caller_that_was_killed_after_a_busy_try(journal, target):
    program = DeclareProgram(-errno.EBUSY)
    with trigger(step(recheck=Recheck(1)), target, program, journal) as rechecked:
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
    program = DeclareProgram(ret, ended=ended)
    result = Declaration(program, Call("/t"), 42).result(killed(), SharedResult(attempts=1))
    verdict = judge(result, (), 0, False)
    assert verdict.name == name
    assert says in verdict.reason


def test_an_exception_in_the_caller_is_not_an_errno_of_the_kernel():
    error = UnsupportedError("cannot write '0' to /x: Permission denied", "run it as root")
    ended = CallerEnd(3, 7, 255, False, "the caller (pid 7)", "failed", error)
    program = DeclareProgram(stage=Stage.NOT_RUN)
    with pytest.raises(UnsupportedError) as caught:
        Declaration(program, Call("/t"), 42).result(ended, SharedResult(attempts=1))
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
