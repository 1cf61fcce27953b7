"""What rounds with a fake kernel need."""

import psutil
import pytest

from oomctl.experiment import session, sources, steps
from oomctl.hog.hogset import HogSet
from tests.descriptors import descriptors
from tests.journals import journals
from tests.unit.experiment.fake_kernel import Kernel, NoTracing, adj


@pytest.fixture
def kernel(cgroupfs, monkeypatch):
    """The fake kernel in the place of BPF, log and sysctls."""
    played = Kernel(cgroupfs)
    enter = HogSet.__enter__

    def enter_and_tell(hog_set):
        """Show the PIDs of the hogs in cgroup.procs, as the kernel does."""
        enter(hog_set)
        for running_hog in hog_set.runners:
            played.pids[running_hog.hog.name] = running_hog.pid
            leaf = cgroupfs.at(running_hog.hog.cgroup).directory
            (leaf / "cgroup.procs").write_text(f"{running_hog.pid}\n")
            (leaf / "memory.current").write_text(f"{running_hog.hog.size + 4096}\n")
        return hog_set

    monkeypatch.setattr(HogSet, "__enter__", enter_and_tell)
    monkeypatch.setattr(session, "DeclareProgram", lambda: played)
    monkeypatch.setattr(steps, "call_together", played.together)
    monkeypatch.setattr(sources, "Kmsg", lambda **_options: played)
    monkeypatch.setattr(sources, "Observer", NoTracing)
    quiet = dict.fromkeys(("vm.panic_on_oom", "vm.oom_kill_allocating_task"), 0)
    monkeypatch.setattr("oomctl.proc.procfs.sysctls", lambda _names: quiet)
    monkeypatch.setattr("oomctl.bpf.libbpf.version", lambda: "1.0")
    return played


@pytest.fixture
def nothing_is_left(cgroupfs):
    """No cgroup, process, journal or descriptor outlives the test; oom_score_adj is as before."""
    before = descriptors(), adj()
    yield
    assert [node.cgroup for node in cgroupfs.walk()] in (["/"], ["/", "/theirs"])
    assert journals() == []
    assert [child.name() for child in psutil.Process().children()] == []
    assert (descriptors(), adj()) == before


@pytest.fixture
def theirs(kernel):
    """A cgroup that oomctl did not make."""
    return kernel.root.create_cgroup("theirs")
