"""Cgroup v2 and the memory controller: each check in each of its states."""

import os

import pytest

from oomctl.doctor import CHECKS, examine
from tests.machine import own_cgroup, the


def test_without_cgroup_v2_the_rest_is_not_checked(fit_machine, mounts, tmp_path):
    mounts(("tmpfs", tmp_path, "rw"))
    seen = {each.name: each for each in examine(fit_machine, CHECKS).findings}
    assert "no cgroup v2 hierarchy is mounted" in seen["cgroup v2"].found
    assert "mount -t cgroup2" in seen["cgroup v2"].fix
    for name in ("cgroupfs", "memory controller", "delegation", "nsdelegate", "pids.max"):
        assert seen[name].found == "not checked: needs cgroup v2"
    assert seen["subtree_control"].found == "not checked: needs memory controller"


def test_something_is_mounted_over_it(fit_machine):
    fit_machine.said["magic"] = 0x01021994  # tmpfs
    found = the(fit_machine, "cgroup v2")
    assert (found.state, "mounted over it" in found.found) == ("missing", True)
    assert found.fix == f"umount {fit_machine.hierarchy.directory}"


def test_a_read_only_cgroupfs(fit_machine):
    fit_machine.readonly = True
    found = the(fit_machine, "cgroupfs")
    assert (found.state, "read-only" in found.found) == ("missing", True)
    assert found.fix.startswith("mount -o remount,rw ")


def test_a_cgroupfs_of_another_user(fit_machine):
    fit_machine.writable = False
    found = the(fit_machine, "cgroupfs")
    assert (found.state, found.fix) == ("missing", "run it with sudo")


def test_memory_is_bound_to_v1(fit_machine, mounts, tmp_path):
    root = fit_machine.hierarchy.directory
    (root / "cgroup.controllers").write_text("pids\n")
    mounts(("cgroup2", root, "rw"), ("cgroup", tmp_path / "v1", "rw,memory"))
    found = the(fit_machine, "memory controller")
    assert (found.state, "bound to cgroup v1" in found.found) == ("missing", True)
    assert "cgroup_no_v1=all" in found.fix
    assert "oomctl lab" in found.fix


def test_the_roots_subtree_control(fit_machine):
    root = fit_machine.hierarchy.directory
    assert "is in the root's" in the(fit_machine, "subtree_control").found
    (root / "cgroup.subtree_control").write_text("")
    assert "not yet" in the(fit_machine, "subtree_control").found  # the kernel's own root
    (root / "cgroup.events").write_text("populated 1\n")  # the root of a namespace
    found = the(fit_machine, "subtree_control")
    assert (found.state, "processes live in" in found.found) == ("missing", True)
    (root / "cgroup.procs").write_text("")
    assert the(fit_machine, "subtree_control").state == "ok"


def test_own_cgroup(fit_machine):
    assert the(fit_machine, "own cgroup").found == "the root"
    node = own_cgroup(fit_machine, "mine", cgroup__procs=f"{os.getpid()}\n")
    assert "can make cgroups in it" in the(fit_machine, "own cgroup").found
    fit_machine.writable = False
    assert "may not make cgroups" in the(fit_machine, "own cgroup").found
    fit_machine.writable = True
    (node.directory / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    found = the(fit_machine, "own cgroup")
    assert (found.state, "processes live in" in found.found) == ("warning", True)
    assert "Delegate=yes" in found.fix
    (node.directory / "cgroup.controllers").write_text("pids\n")
    assert "does not have the memory controller" in the(fit_machine, "own cgroup").found


@pytest.mark.parametrize("cgroup", ["/gone", "/../../elsewhere"])
def test_an_own_cgroup_that_is_not_visible(fit_machine, cgroup):
    fit_machine.write("/proc/self/cgroup", f"0::{cgroup}\n")
    found = the(fit_machine, "own cgroup")
    assert (found.state, "is outside the visible part" in found.found) == ("warning", True)
    assert the(fit_machine, "pids.max").state == "ok"


def test_delegation(fit_machine):
    assert "belongs to no unit" in the(fit_machine, "delegation").found
    own_cgroup(fit_machine, "run-1.scope")
    assert "PID 1 is not systemd" in the(fit_machine, "delegation").found
    fit_machine.write("/proc/1/comm", "systemd\n")
    found = the(fit_machine, "delegation")
    assert (found.state, "Delegate=yes" in found.fix) == ("warning", True)
    fit_machine.delegates.add("run-1.scope")
    found = the(fit_machine, "delegation")
    assert (found.state, found.found) == ("ok", "/run-1.scope is delegated")


def test_a_cgroup_below_a_delegated_one(fit_machine):
    own_cgroup(fit_machine, "a").create_cgroup("b")
    fit_machine.write("/proc/self/cgroup", "0::/a/b\n")
    fit_machine.delegates.add("a")
    assert the(fit_machine, "delegation").found == "/a is delegated"


def test_mount_options(fit_machine, mounts):
    root = fit_machine.hierarchy.directory
    names = ("memory_localevents", "memory_recursiveprot", "nsdelegate")
    assert all(the(fit_machine, name).found.startswith("not set: ") for name in names)
    del fit_machine.mount_options
    mounts(("cgroup2", root, f"rw,{','.join(names)}"))
    seen = [the(fit_machine, name) for name in names]
    assert all(each.found.startswith("set: ") for each in seen)
    assert [each.state for each in seen] == ["warning", "ok", "ok"]
    # a remount that names device and folder drops what it does not repeat
    options = "remount,rw,memory_recursiveprot,nsdelegate"
    assert seen[0].fix == f"mount -o {options} none {root}"


@pytest.mark.parametrize(
    ("files", "state", "says"),
    [
        ({}, "ok", "no limit"),
        ({"pids__max": "max\n", "pids__current": "3\n"}, "ok", "no limit"),
        ({"pids__max": "100\n", "pids__current": "3\n"}, "ok", "room for 97"),
        ({"pids__max": "10\n", "pids__current": "3\n"}, "warning", "room for 7"),
        ({"pids__max": "2\n", "pids__current": "3\n"}, "warning", "room for -1"),
    ],
)
def test_room_for_processes(fit_machine, files, state, says):
    own_cgroup(fit_machine, "mine", **files)
    found = the(fit_machine, "pids.max")
    assert (found.state, says in found.found) == (state, True)
