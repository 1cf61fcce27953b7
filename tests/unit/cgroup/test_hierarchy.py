from pathlib import Path

import pytest

from oomctl.cgroup import hierarchy
from oomctl.cgroup.hierarchy import (
    children_get,
    find_cgroup,
    require_memory,
    require_target,
    unified_root,
)
from oomctl.cgroup.node import UnifiedNode
from oomctl.errors import UnsupportedError, UsageError


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder outside the hierarchy, which is the current one."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def tree(cgroupfs, elsewhere):
    top = cgroupfs.create_cgroup("a")
    top.create_cgroup("b")
    cgroupfs.create_cgroup("with space")
    return cgroupfs


def test_the_root_is_where_cgroup2_is_mounted(cgroupfs):
    assert unified_root().directory == cgroupfs.directory


def test_no_cgroup_v2_at_all(mounts, tmp_path):
    mounts(("cgroup", tmp_path, "rw,memory"), ("tmpfs", tmp_path, "rw"))
    with pytest.raises(UnsupportedError, match=r"no cgroup v2 hierarchy.*mount -t cgroup2"):
        unified_root()


@pytest.mark.parametrize(
    ("text", "cgroup"),
    [
        ("/a", "/a"),
        ("a", "/a"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("//a//b", "/a/b"),
        ("/a/../a/b", "/a/b"),
        ("/with space", "/with space"),
        ("{mount}/a", "/a"),
        ("{mount}/a/b/..", "/a"),
        ("{mount}/../{name}/a", "/a"),
    ],
)
def test_what_a_path_means(tree, text, cgroup):
    mount = tree.directory
    assert find_cgroup(tree, text.format(mount=mount, name=mount.name)).cgroup == cgroup


def test_a_path_is_relative_to_the_current_folder_first(tree, monkeypatch):
    monkeypatch.chdir(tree.directory / "a")
    assert find_cgroup(tree, ".").cgroup == "/a"
    assert find_cgroup(tree, "b").cgroup == "/a/b"
    assert find_cgroup(tree, "../a/b").cgroup == "/a/b"
    with pytest.raises(UsageError, match="root cgroup cannot be a target"):
        find_cgroup(tree, "..")


def test_a_cgroup_is_found_though_something_else_has_its_name(tree, elsewhere):
    (elsewhere / "a").mkdir()
    assert find_cgroup(tree, "a").cgroup == "/a"
    etc = tree.create_cgroup("etc")
    assert find_cgroup(tree, "/etc").cgroup == etc.cgroup


@pytest.mark.parametrize("text", ["/", "//", "/.", "{mount}", "{mount}/", "{mount}/a/..", "/a/.."])
def test_the_root_is_not_a_target(tree, text):
    with pytest.raises(UsageError, match=r"the root cgroup cannot be a target.*--global"):
        find_cgroup(tree, text.format(mount=tree.directory))


@pytest.mark.parametrize(
    "text", ["/nonsense", "nonsense", "/a/b/c", "a\n", "a\nb", "/a\x1b[31m", "x" * 5000, "\udcff"]
)
def test_what_does_not_exist(tree, text):
    with pytest.raises(UsageError, match="no such cgroup below"):
        find_cgroup(tree, text)


@pytest.mark.parametrize("text", ["", "\0", "a\0b"])
def test_what_cannot_be_a_path(tree, text):
    with pytest.raises(UsageError, match="empty or has a NUL byte"):
        find_cgroup(tree, text)


@pytest.mark.parametrize(
    "text", ["{elsewhere}", "/etc/passwd", "{mount}/..", "{mount}/a/cgroup.procs"]
)
def test_what_is_not_a_cgroup_directory(tree, elsewhere, text):
    with pytest.raises(UsageError, match="is not a cgroup v2 directory; name a directory below"):
        find_cgroup(tree, text.format(elsewhere=elsewhere, mount=tree.directory))


def test_a_link_is_followed_into_the_hierarchy_and_not_out_of_it(tree, elsewhere):
    (elsewhere / "into").symlink_to(tree.directory / "a" / "b")
    assert find_cgroup(tree, str(elsewhere / "into")).cgroup == "/a/b"
    (tree.directory / "a" / "out").symlink_to(elsewhere)
    for text in ("/a/out", str(tree.directory / "a" / "out")):
        with pytest.raises(UsageError, match="is not a cgroup v2 directory"):
            find_cgroup(tree, text)
    (elsewhere / "root").symlink_to(tree.directory)
    with pytest.raises(UsageError, match="root cgroup"):
        find_cgroup(tree, "root")


def test_a_loop_of_links(tree, elsewhere):
    (elsewhere / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="no such cgroup"):
        find_cgroup(tree, "loop")


def test_a_v1_path_is_called_so(tree, tmp_path, mounts):
    v1 = tmp_path / "memory"
    (v1 / "x").mkdir(parents=True)
    mounts(("cgroup2", tree.directory, "rw"), ("cgroup", v1, "rw,memory"))
    for text in (str(v1), f"{v1}/x"):
        with pytest.raises(UsageError, match="that is a cgroup v1 path"):
            find_cgroup(tree, text)


def test_memory_that_is_there(cgroupfs):
    require_memory(cgroupfs)


def test_memory_bound_to_v1(cgroupfs, tmp_path, mounts):
    (cgroupfs.directory / "cgroup.controllers").write_text("pids\n")
    v1 = ("cgroup", tmp_path / "v1", "rw,relatime,memory")
    mounts(("cgroup2", cgroupfs.directory, "rw"), v1)
    with pytest.raises(UnsupportedError, match=r"bound to cgroup v1 at .*v1.*cgroup_no_v1=all"):
        require_memory(cgroupfs)


def test_a_hierarchy_without_memory_controller(cgroupfs):
    (cgroupfs.directory / "cgroup.controllers").unlink()
    with pytest.raises(UnsupportedError, match="does not offer the memory controller"):
        require_memory(UnifiedNode(str(cgroupfs.directory)))


def test_mounts_with_odd_names_and_options(mounts, monkeypatch):
    """The options of an overlay contain paths, which may not be UTF-8."""
    mounts()
    hierarchy._MOUNTS.write_bytes(
        b"overlay / overlay rw,lowerdir=/\xff 0 0\nnone\n\ncg /a\\040b\\134\xfe cgroup2 rw,x 0 0\n"
    )
    assert hierarchy.mounts("cgroup2") == [(Path("/a b\\\udcfe"), frozenset({"rw", "x"}))]
    assert unified_root().directory == Path("/a b\\\udcfe")


@pytest.mark.parametrize("field", [b"/a\0b", b"/a\\000b"])
def test_a_mount_that_no_path_can_name(mounts, field):
    mounts()
    hierarchy._MOUNTS.write_bytes(b"cg " + field + b" cgroup2 rw 0 0\ncg /c cgroup2 rw 0 0\n")
    assert [path for path, _options in hierarchy.mounts("cgroup2")] == [Path("/c")]


@pytest.fixture
def threads(cgroupfs):
    """A threaded domain with a threaded cgroup, one that is invalid, and one below."""
    domain = typed(cgroupfs.create_cgroup("domain"), "domain threaded")
    typed(domain.create_cgroup("invalid"), "domain invalid")
    typed(typed(domain.create_cgroup("threaded"), "threaded").create_cgroup("below"), "threaded")
    return domain


def typed(node, kind):
    (node.directory / "cgroup.type").write_text(f"{kind}\n")
    return node


@pytest.mark.parametrize(
    ("below", "kind"),
    [("threaded", "threaded"), ("invalid", "domain invalid"), ("threaded/below", "threaded")],
)
def test_a_threaded_cgroup_has_no_memory_controller(threads, below, kind):
    node = threads.at(below)
    with pytest.raises(UnsupportedError) as caught:
        require_target(node, "--cgroup x: ")
    assert str(caught.value) == (
        f"--cgroup x: {node.directory} has the cgroup.type '{kind}', and so no memory controller; "
        f"name {threads.directory}, the domain of its threads"
    )
    require_target(threads)


def test_a_threaded_cgroup_of_the_root_has_no_domain_to_name(cgroupfs):
    node = typed(cgroupfs.create_cgroup("a"), "threaded")
    with pytest.raises(UnsupportedError, match="name a cgroup whose"):
        require_target(node)


def test_processes_belong_into_a_threaded_domain_itself(threads):
    (threads.directory / "cgroup.subtree_control").write_text("pids\n")
    assert children_get(threads) == set()
    typed(threads, "domain")
    assert children_get(threads) == {"pids"}


def test_a_cgroup_without_controller_is_told_which_cgroups_must_enable_it(cgroupfs):
    top = cgroupfs.create_cgroup("top")
    deep = top.create_cgroup("a b").create_cgroup("deep")
    (deep.directory / "memory.current").unlink()
    with pytest.raises(UnsupportedError) as caught:
        require_target(deep)
    files = f"{top.directory}/cgroup.subtree_control '{top.directory}/a b/cgroup.subtree_control'"
    assert str(caught.value) == (
        f"{deep.directory} has no memory controller; run `echo +memory | tee {files}`, or name "
        f"{top.directory}"
    )
    (top.directory / "cgroup.procs").write_text("7\n")
    with pytest.raises(UnsupportedError, match=r"processes live in .*/top itself, .*; name .*/top"):
        require_target(deep)


def test_the_root_must_enable_it(cgroupfs):
    (cgroupfs.directory / "cgroup.subtree_control").write_text("")
    node = cgroupfs.create_cgroup("a")
    (node.directory / "memory.current").unlink()
    root = cgroupfs.directory
    with pytest.raises(UnsupportedError, match=rf"tee {root}/cgroup.subtree_control`$"):
        require_target(node)


def test_a_cgroup_that_was_just_removed_does_not_lack_a_controller(cgroupfs):
    node = cgroupfs.create_cgroup("a")
    (node.directory / "memory.current").unlink()
    with pytest.raises(UnsupportedError, match="check that it still exists"):
        require_target(node)


def test_a_hierarchy_without_memory_is_for_others_to_tell(cgroupfs):
    (cgroupfs.directory / "cgroup.controllers").write_text("cpu\n")
    node = cgroupfs.create_cgroup("a")
    (node.directory / "memory.current").unlink()
    require_target(node)
