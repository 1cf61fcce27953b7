"""The removal of a cgroup: what it kills, what it leaves alone, and which processes it names."""

import os
import re
import subprocess

import pytest

from oomctl.cgroup import removal
from oomctl.cgroup.removal import remove, residents
from oomctl.files.kernelfile import KernelFileError
from tests.descriptors import descriptors


@pytest.fixture
def top(cgroupfs):
    return cgroupfs.create_cgroup("t")


@pytest.fixture
def no_kill(monkeypatch):
    monkeypatch.setattr(removal.kernelfile, "write", lambda *_, **__: None)


def holds(node, *pids):
    (node.directory / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))


def test_children_go_first(top):
    top.create_cgroup("a").create_cgroup("b")
    top.create_cgroup("c")
    made = top.id
    assert remove(top.directory, made)
    assert not top.directory.exists()
    assert not remove(top.directory, made)  # a second time is not an error


def test_what_lives_there_is_killed(top):
    holds(top.create_cgroup("a"), 2**22 + 7)
    assert residents(top.directory, top.id) == [2**22 + 7]
    assert remove(top.directory, top.id)
    assert not top.directory.exists()


def test_many_below_each_other(top):
    deepest = top
    for _ in range(300):
        deepest = deepest.create_cgroup("a")
    assert remove(top.directory, top.id)


def test_another_cgroup_at_its_path_is_left_alone(cgroupfs, top):
    made = top.id
    theirs = cgroupfs.create_cgroup("u")
    holds(theirs, 7)
    top.directory.rename(cgroupfs.directory / "moved")
    theirs.directory.rename(top.directory)
    assert residents(top.directory, made) is None
    assert not remove(top.directory, made)
    assert (top.directory / "cgroup.kill").read_text() == ""
    assert (top.directory / "cgroup.procs").read_text() == "7\n"


def test_a_cgroup_that_replaces_it_during_the_removal_is_left_alone(cgroupfs, top, monkeypatch):
    holds(top, 2**22 + 7)
    theirs = cgroupfs.create_cgroup("u")

    def replace(_seconds):
        if (cgroupfs.directory / "moved").exists():
            return
        top.directory.rename(cgroupfs.directory / "moved")
        theirs.directory.rename(top.directory)

    monkeypatch.setattr(removal.time, "sleep", replace)
    remove(top.directory, top.id)
    assert top.directory.exists()
    assert (top.directory / "cgroup.kill").read_text() == ""


def test_a_link_is_not_followed(cgroupfs, top):
    (cgroupfs.directory / "link").symlink_to(top.directory)
    assert not remove(cgroupfs.directory / "link", top.id)
    assert top.directory.exists()


def test_the_processes_that_hold_it_are_named_with_their_state(top, no_kill):
    child = subprocess.Popen(["sleep", "60"])
    try:
        holds(top.create_cgroup("a"), child.pid, 2**22 + 7)
        with pytest.raises(KernelFileError) as raised:
            remove(top.directory, top.id, timeout=0.05)
    finally:
        child.kill()
        child.wait()
    text = str(raised.value)
    assert re.search(
        rf"/t: Device or .*busy; held by {child.pid} \(\w+, \w(, \w+)?\), 4194311", text
    )
    assert "run `oomctl clean`" in text


def test_of_many_some_are_named(top, no_kill):
    holds(top, *range(2**22 + 1, 2**22 + 100))
    with pytest.raises(KernelFileError, match="4194312, 91 more"):
        remove(top.directory, top.id, timeout=0.05)


@pytest.mark.parametrize(
    ("pid", "name"),
    [
        (os.getpid(), "oomctl itself"),
        (os.getppid(), rf"\S+ \(pid {os.getppid()}, which oomctl runs in\)"),
        (1, r"\S+ \(pid 1, which oomctl runs in\)"),
    ],
)
def test_oomctl_does_not_kill_what_it_runs_in(top, pid, name):
    holds(top, pid)
    with pytest.raises(KernelFileError, match=rf"{name} is in it; move it elsewhere"):
        remove(top.directory, top.id)
    assert (top.directory / "cgroup.kill").read_text() == ""


def test_no_descriptor_is_left(top):
    before = descriptors()
    top.create_cgroup("a")
    remove(top.directory, top.id)
    assert descriptors() == before
