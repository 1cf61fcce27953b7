"""Which cgroup --parent means, and that oomctl gets out of its way."""

import os

import pytest

from oomctl.cgroup.parent import find_parent, in_leaf_cgroup
from oomctl.errors import UnsupportedError, UsageError
from oomctl.proc import procfs


@pytest.fixture
def slice_(cgroupfs):
    return cgroupfs.create_cgroup("slice")


def test_the_root_and_a_cgroup_below_it(cgroupfs, slice_):
    assert find_parent(cgroupfs, "/") is cgroupfs
    assert find_parent(cgroupfs, "/slice").cgroup == "/slice"
    assert find_parent(cgroupfs, str(slice_.directory)).cgroup == "/slice"


@pytest.mark.parametrize("text", ["", "/gone", "../..", "a\0b"])
def test_a_path_that_is_not_a_cgroup(cgroupfs, text):
    with pytest.raises(UsageError, match=r"^--parent"):
        find_parent(cgroupfs, text)


def test_a_cgroup_without_the_controller_says_what_to_run(cgroupfs, slice_):
    (slice_.directory / "cgroup.controllers").write_text("pids\n")
    (cgroupfs.directory / "cgroup.subtree_control").write_text("pids\n")
    with pytest.raises(
        UnsupportedError, match=r"`echo \+memory \| tee .*systemd-run --scope -p Deleg"
    ):
        find_parent(cgroupfs, "/slice")


def test_processes_of_others_are_in_the_way(cgroupfs, slice_):
    (slice_.directory / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    with pytest.raises(UnsupportedError, match=r"processes live in .*/slice itself \(1\)"):
        find_parent(cgroupfs, "/slice")
    (slice_.directory / "cgroup.subtree_control").write_text("memory\n")
    assert find_parent(cgroupfs, "/slice").cgroup == "/slice"


def test_self_is_where_oomctl_runs(cgroupfs, slice_, monkeypatch):
    monkeypatch.setattr(procfs, "unified_path", lambda _text: "/slice")
    assert find_parent(cgroupfs, "self").cgroup == "/slice"
    monkeypatch.setattr(procfs, "unified_path", lambda _text: "/")
    with pytest.raises(UnsupportedError, match="oomctl runs in the root cgroup; run `systemd-run"):
        find_parent(cgroupfs, "self")


def test_oomctl_gets_out_of_the_way_and_comes_back(slice_, journal):
    procs = slice_.directory / "cgroup.procs"
    procs.write_text(f"{os.getpid()}\n")
    with in_leaf_cgroup(slice_, journal):
        (leaf,) = [path for path in slice_.directory.iterdir() if path.is_dir()]
        assert leaf.name.startswith(f"oomctl-self-{os.getpid()}-")
        assert (leaf / "cgroup.procs").read_text() == "0"
        (leaf / "cgroup.procs").write_text("")  # as the kernel has it once all are back
    assert procs.read_text().startswith("0")
    assert [path for path in slice_.directory.iterdir() if path.is_dir()] == []


def test_oomctl_stays_if_it_is_not_in_the_way(cgroupfs, slice_, journal):
    with in_leaf_cgroup(slice_, journal), in_leaf_cgroup(cgroupfs, journal):
        assert [path for path in slice_.directory.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("kind", ["threaded", "domain invalid", "domain threaded"])
def test_cgroups_in_a_threaded_one_get_no_memory_controller(cgroupfs, slice_, kind):
    (slice_.directory / "cgroup.type").write_text(f"{kind}\n")
    with pytest.raises(UnsupportedError) as caught:
        find_parent(cgroupfs, "/slice")
    assert str(caught.value).startswith(
        f"--parent /slice: {slice_.directory} has the cgroup.type '{kind}': its children "
        "get no memory controller; name a cgroup whose cgroup.type is 'domain', or run `systemd-"
    )
    (slice_.directory / "cgroup.type").write_text("domain\n")
    assert find_parent(cgroupfs, "/slice").cgroup == "/slice"
