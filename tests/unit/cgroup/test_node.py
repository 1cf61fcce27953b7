import errno
import os
import subprocess

import pytest
from cgroupspy.controllers import Controller
from cgroupspy.nodes import Node

from oomctl.cgroup.node import UnifiedController, UnifiedNode
from oomctl.files.kernelfile import KernelFileError


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
    with pytest.raises(KernelFileError, match="exists already"):
        cgroupfs.create_cgroup("a")


def test_a_cgroup_cannot_be_made_below_one_that_is_gone(cgroupfs):
    with pytest.raises(KernelFileError, match=r"cannot make the cgroup .*removed in the meantime"):
        cgroupfs.at("/gone").create_cgroup("a")


def test_subtree_is_parents_first_and_siblings_in_the_order_of_their_making(cgroupfs):
    top = cgroupfs.create_cgroup("t")
    for name in ("zz", "m", "a"):
        top.create_cgroup(name).create_cgroup("leaf")
    paths = [node.cgroup for node in top.walk()]
    inodes = {node.cgroup: node.id for node in top.walk()}
    assert paths[0] == "/t"
    assert all(paths.index(path) > paths.index(path.rpartition("/")[0]) for path in paths[1:])
    children = [path for path in paths if path.count("/") == 2]
    assert children == sorted(children, key=inodes.__getitem__)
    assert len(paths) == 7


def test_subtree_of_what_is_gone_is_the_node_alone(cgroupfs):
    assert [node.cgroup for node in cgroupfs.at("/gone").walk()] == ["/gone"]


def test_members_are_all_below(cgroupfs):
    top = cgroupfs.create_cgroup("t")
    leaf = top.create_cgroup("a")
    (top.directory / "cgroup.procs").write_text("7\n")
    (leaf.directory / "cgroup.procs").write_text("8\n9\n")
    assert top.members() == {7: "/t", 8: "/t/a", 9: "/t/a"}


def test_a_write_that_fails_is_explained(cgroupfs):
    node = cgroupfs.create_cgroup("t")
    (node.directory / "memory.max").unlink()
    with pytest.raises(KernelFileError, match="memory controller is not enabled"):
        node.controller.memory_max = 1


def test_a_file_that_cannot_be_read_is_explained(cgroupfs):
    node = cgroupfs.create_cgroup("t")
    (node.directory / "memory.current").unlink()
    (node.directory / "memory.current").symlink_to("/")
    with pytest.raises(KernelFileError, match=r"cannot read .*memory\.current: Is a directory"):
        _ = node.controller.memory_current


def test_names_that_are_not_utf8(cgroupfs):
    name = os.fsdecode(b"\xff\xfe")
    node = cgroupfs.create_cgroup(name)
    assert node.cgroup == f"/{name}"
    assert [child.cgroup for child in cgroupfs.walk()] == ["/", f"/{name}"]
    assert UnifiedNode(str(cgroupfs.directory)).at(f"/{name}").directory.exists()


def test_a_cgroup_that_is_removed_while_it_is_read_reads_as_absent(cgroupfs, monkeypatch):
    """kernfs answers ENODEV for a file that was opened before the rmdir."""
    node = cgroupfs.create_cgroup("t")

    def gone(*_args):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(os, "read", gone)
    assert node.controller.memory_current is None
    assert node.controller.procs is None


WORKS = {
    Node: {"name", "verbose_name", "parent", "path", "full_path", "controller", "node_type"}
    | {"controller_type", "create_cgroup", "walk"}
    | {name for name in dir(Node) if name.isupper()},
    Controller: {"node", "procs", "filepath", "get_interface", "get_property", "set_property"},
}
"""What cgroupspy offers and works on cgroup v2, as it is or overridden."""


def offered(cls):
    return {name for name in {*dir(cls), *vars(cls(Node(b"/")))} if not name.startswith("_")}


@pytest.mark.parametrize(
    ("cls", "name"), [(cls, name) for cls in WORKS for name in sorted(offered(cls))]
)
def test_each_public_name_of_cgroupspy_works_or_refuses(cgroupfs, cls, name):
    """The library's walk() sees no children here, its delete_cgroup() goes past the journal."""
    ours = cgroupfs if cls is Node else cgroupfs.controller
    if name in WORKS[cls]:
        getattr(ours, name)
        return
    with pytest.raises(NotImplementedError, match=rf"cgroupspy's {name} .* cgroup v2; use \w+"):
        getattr(ours, name)


def test_the_methods_of_cgroupspy_that_are_used(cgroupfs):
    node = cgroupfs.create_cgroup("t")
    assert node.controller.filepath(b"memory.max") == node.full_path + b"/memory.max"
    assert node.controller.get_interface("memory_max") is UnifiedController.memory_max
    assert node.controller.get_interface("tasks") is None
    assert (node.parent, node.node_type, node.controller_type) == (cgroupfs, b"cgroup", None)


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
    """The owner of a delegated cgroup can make them so; what no path reaches is left out."""
    found = list(UnifiedNode(str(deep)).walk())
    assert 1500 < len(found) < 2048
    assert found[-1].cgroup == "/a" * (len(found) - 1)
    assert found[-1].directory.stat()
