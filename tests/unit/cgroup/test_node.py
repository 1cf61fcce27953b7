import errno
import os
import subprocess
from pathlib import Path

import pytest

from oomctl.cgroup.node import CgroupError, UnifiedNode, explain


def test_a_node_knows_its_places(cgroupfs):
    node = cgroupfs.create_cgroup("a").create_cgroup("b")
    assert node.directory == cgroupfs.directory / "a" / "b"
    assert node.cgroup == "/a/b"
    assert node.id == node.directory.stat().st_ino
    assert cgroupfs.cgroup == "/"
    assert {node: 1}[cgroupfs.at("/a/b")] == 1


@pytest.mark.parametrize("name", ["memory", "cpu", "pids"])
def test_a_cgroup_named_as_a_v1_controller_is_a_v2_cgroup(cgroupfs, name):
    node = cgroupfs.create_cgroup(name)
    assert node.controller.memory_max == float("inf")


def test_at_walks_without_asking_the_disk(cgroupfs):
    assert cgroupfs.at("/").cgroup == "/"
    assert cgroupfs.at("/no/such").cgroup == "/no/such"
    assert cgroupfs.at("no/such").directory == cgroupfs.directory / "no" / "such"


def test_an_existing_cgroup_is_never_adopted(cgroupfs):
    cgroupfs.create_cgroup("a")
    with pytest.raises(CgroupError, match="exists already"):
        cgroupfs.create_cgroup("a")


def test_a_cgroup_cannot_be_made_below_one_that_is_gone(cgroupfs):
    with pytest.raises(CgroupError, match=r"cannot make the cgroup .*removed meanwhile"):
        cgroupfs.at("/gone").create_cgroup("a")


def test_subtree_is_parents_first_and_siblings_in_the_order_of_their_making(cgroupfs):
    top = cgroupfs.create_cgroup("t")
    for name in ("zz", "m", "a"):
        top.create_cgroup(name).create_cgroup("leaf")
    paths = [node.cgroup for node in top.subtree()]
    inodes = {node.cgroup: node.id for node in top.subtree()}
    assert paths[0] == "/t"
    assert all(paths.index(path) > paths.index(path.rpartition("/")[0]) for path in paths[1:])
    children = [path for path in paths if path.count("/") == 2]
    assert children == sorted(children, key=inodes.__getitem__)
    assert len(paths) == 7


def test_subtree_of_what_is_gone_is_the_node_alone(cgroupfs):
    assert [node.cgroup for node in cgroupfs.at("/gone").subtree()] == ["/gone"]


def test_members_are_all_below(cgroupfs):
    top = cgroupfs.create_cgroup("t")
    leaf = top.create_cgroup("a")
    (top.directory / "cgroup.procs").write_text("7\n")
    (leaf.directory / "cgroup.procs").write_text("8\n9\n")
    assert top.members() == {7: "/t", 8: "/t/a", 9: "/t/a"}


def test_a_file_that_is_not_there_is_not_called_a_permission_problem(tmp_path):
    """For cgroupfs, opening a missing file for writing is EACCES."""
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    error = explain(denied, tmp_path / "memory.max", "write '1' to")
    assert str(error) == (
        f"cannot write '1' to {tmp_path}/memory.max: Permission denied; "
        f"the memory controller is not enabled for {tmp_path}"
    )
    (tmp_path / "memory.max").write_text("")
    error = explain(denied, tmp_path / "memory.max", "write '1' to")
    assert error.hint == "run it as root"


@pytest.mark.parametrize(
    ("number", "name", "hint"),
    [
        (errno.EBUSY, "cgroup.subtree_control", "processes live in this cgroup itself"),
        (errno.ENOENT, "cgroup.subtree_control", "was not given that controller by its parent"),
        (errno.EBUSY, "cgroup.procs", "its cgroup.subtree_control is not empty"),
        (errno.EBUSY, "t", "processes or child cgroups are still in it"),
        (errno.EROFS, "t", "read-only"),
        (errno.EPERM, "cgroup.procs", "run it as root"),
        (errno.EAGAIN, "t", "cgroup.max.descendants"),
        (errno.ENOMEM, "t", "memory.max of"),
        (errno.ENODEV, "cgroup.procs", "removed meanwhile"),
        (errno.ENOENT, "cgroup.procs", "removed meanwhile"),
    ],
)
def test_what_an_errno_means_hangs_on_the_file(number, name, hint):
    error = explain(OSError(number, os.strerror(number)), Path("/x", name), "do it to")
    assert hint in error.hint
    assert os.strerror(number) in error.why
    assert f"/x/{name}" in error.why


def test_an_errno_nobody_foresaw_is_passed_on():
    error = explain(OSError(errno.EIO, "Input/output error"), Path("/x/y"), "read")
    assert str(error) == "cannot read /x/y: Input/output error"


def test_a_write_that_fails_is_explained(cgroupfs):
    node = cgroupfs.create_cgroup("t")
    (node.directory / "memory.max").unlink()
    with pytest.raises(CgroupError, match="memory controller is not enabled"):
        node.controller.memory_max = 1


def test_a_file_that_cannot_be_read_is_explained(cgroupfs):
    node = cgroupfs.create_cgroup("t")
    (node.directory / "memory.current").unlink()
    (node.directory / "memory.current").symlink_to("/")
    with pytest.raises(CgroupError, match=r"cannot read .*memory\.current: Is a directory"):
        _ = node.controller.memory_current


def test_names_that_are_not_utf8(cgroupfs):
    name = os.fsdecode(b"\xff\xfe")
    node = cgroupfs.create_cgroup(name)
    assert node.cgroup == f"/{name}"
    assert [child.cgroup for child in cgroupfs.subtree()] == ["/", f"/{name}"]
    assert UnifiedNode(str(cgroupfs.directory)).at(f"/{name}").directory.exists()


def test_a_cgroup_that_is_removed_while_it_is_read_is_as_one_that_is_gone(cgroupfs, monkeypatch):
    """kernfs answers ENODEV for a file that was opened before the rmdir."""
    node = cgroupfs.create_cgroup("t")

    def gone(*_args):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr("builtins.open", gone)
    assert node.controller.memory_current is None
    assert node.controller.procs is None


@pytest.fixture
def deep(tmp_path):
    """Folders in each other, more than a path can name."""
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("a", dir_fd=fd)
        below = os.open("a", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    yield tmp_path
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)  # pytest's own removal recurses


def test_cgroups_may_be_as_deep_as_they_like(deep):
    """Whoever has a delegated cgroup can make them so; what no path reaches is left out."""
    found = list(UnifiedNode(str(deep)).subtree())
    assert 1500 < len(found) < 2048
    assert found[-1].cgroup == "/a" * (len(found) - 1)
    assert found[-1].directory.stat()
