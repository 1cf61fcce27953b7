"""Interface files of the kernel: written in one place, and each errno explained."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from oomctl.files import directory, kernelfile
from oomctl.files.kernelfile import KernelFileError, explain


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
        (errno.ENODEV, "cgroup.procs", "removed in the meantime"),
        (errno.ENOENT, "cgroup.procs", "removed in the meantime"),
    ],
)
def test_what_an_errno_means_hangs_on_the_file(number, name, hint):
    error = explain(OSError(number, os.strerror(number)), Path("/x", name), "do it to")
    assert hint in error.hint
    assert os.strerror(number) in error.why
    assert f"/x/{name}" in error.why


def test_an_unexpected_errno_is_passed_on():
    error = explain(OSError(errno.EIO, "Input/output error"), Path("/x/y"), "read")
    assert str(error) == "cannot read /x/y: Input/output error"


def test_for_proc_no_cgroup_is_blamed():
    path = Path("/proc/4194305/oom_score_adj")
    with pytest.raises(KernelFileError) as caught:
        kernelfile.write(path, 0)
    assert str(caught.value) == f"cannot write '0' to {path}: No such file or directory"
    assert caught.value.errno == errno.ENOENT


def test_what_the_kernel_has_stored_is_read_back():
    with subprocess.Popen(["sleep", "60"]) as child:
        stored = kernelfile.stored(Path(f"/proc/{child.pid}/oom_score_adj"), "0x3e7")
        child.kill()
    assert stored == "999"


def test_fields_are_set_apart_by_one_blank(tmp_path):
    (tmp_path / "printk").write_bytes(b"7\t4\t1\t7\n")
    assert kernelfile.fields(tmp_path / "printk") == "7 4 1 7"


def test_with_a_descriptor_the_file_of_that_folder_is_meant_and_no_link(tmp_path):
    old, path = tmp_path / "old", tmp_path / "a" / "cgroup.kill"
    path.parent.mkdir()
    path.write_text("0")
    with directory.opened(path.parent) as at:
        path.parent.rename(old)
        path.parent.mkdir()
        path.write_text("0")
        kernelfile.write(path, 1, at=at)
        assert ((old / path.name).read_text(), path.read_text()) == ("1", "0")
        assert kernelfile.read(path, at=at) == "1"
        (old / path.name).unlink()
        (old / path.name).symlink_to(path)
        for use in (lambda: kernelfile.write(path, 1, at=at), lambda: kernelfile.read(path, at=at)):
            with pytest.raises(KernelFileError, match="Too many levels of symbolic links"):
                use()
