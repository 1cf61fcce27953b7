"""A suite without a kernel: cases with fixed results, a fake runner, and the report of a run."""

from contextlib import contextmanager

from oomctl.bpf.btf import Kfunc, Parameter
from oomctl.errors import OomctlError
from oomctl.oom.outcome import Check
from oomctl.smoke import facts, suite
from oomctl.smoke.case import Case
from oomctl.smoke.facts import Facts, Skipped
from oomctl.smoke.results import Report

V3 = Kfunc(
    "bpf_oom_kfunc",
    (
        Parameter("struct mem_cgroup *", "memcg__nullable"),
        Parameter("int", "order"),
        Parameter("u64", "flags"),
    ),
)
V1 = Kfunc("vmlinux", (*V3.parameters[:2], Parameter("bool", "wait_on_oom_lock")))
HERE = Facts(kernel="6.12", kfunc=V3)
ENVIRONMENT = {
    "oomctl": "0.1.0",
    "kernel": "6.12.95+deb12-amd64",
    "kfunc": {"signature": V3.signature, "provider": "bpf_oom_kfunc", "variant": "v3"},
}


class FakeRunner:
    """Has one line of evidence for each round; `dirty` rounds leave something behind."""

    def __init__(self, known=HERE, dirty=False, faults=()):
        self.facts = known
        self.faults = lambda: faults
        self.dirty = dirty
        self.rounds = 0

    @contextmanager
    def round(self, name):
        self.rounds += 1
        yield lambda: [f"evidence of round {self.rounds}"]
        if self.dirty:
            raise OomctlError("it left behind a cgroup", "remove it")


def passes(_runner):
    yield Check("one", True, "as expected")
    yield Check("two", True, "as expected")


def fails(_runner):
    yield Check("calls returning EBUSY: 1", False, "1")
    yield Check("no task dies", True, "killed: none")
    yield Check("tracing agrees", None, "not traced")


def flaky(runner):
    yield Check("every round is the same", runner.rounds != 2, f"round {runner.rounds}")


def raises(_runner):
    yield Check("before", True)
    raise OomctlError("the hog did not start", "see dmesg")


def skips(_runner):
    raise Skipped("the kernel would choose init")
    yield


def nothing(_runner):
    return ()


CASES = (
    Case("arguments.order-0", "order 0 kills", passes),
    Case("arguments.flags-4", "an unknown bit is -EINVAL", passes),
    Case("lock.busy", "held: -EBUSY", fails),
    Case("lock.wait", "held: waits", passes, (facts.two_cpus,)),
    Case("system.largest", "the largest dies", skips),
    Case("panic.deadlock", "it panics", passes, (facts.disposable,), "System is deadlocked"),
)


def report(cases=CASES, runner=None, rounds=1):
    """Run cases on a fake runner; all take the same time, so that files can be compared."""
    from dataclasses import replace

    runner = runner or FakeRunner()
    results = [replace(suite.run(case, runner, rounds), took_ns=250_000_000) for case in cases]
    return Report(ENVIRONMENT, tuple(cases), tuple(results))


def told(form, whole, verbose=False):
    """Report a run as it goes on; return the pieces that were written."""
    from oomctl.report.smoke_reporter import reporter

    pieces = []
    tell = reporter(form, pieces.append, verbose)
    tell.begin(whole)
    for case, result in zip(whole.cases, whole.results, strict=True):
        tell.case_starts(case)
        tell.case_ends(result)
    tell.end(whole)
    return pieces
