"""The disks of a guest: sparse, with a file system, and without a name."""

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from oomctl.errors import OomctlError
from oomctl.lab import disks
from oomctl.lab.qemu import Machine

MIB = 1 << 20


def made(folder, **sizes):
    return list(disks.made(Machine(Path("/x"), **sizes), folder, time.monotonic() + 60))


@pytest.mark.skipif(not shutil.which("mke2fs", path="/sbin:/usr/sbin"), reason="needs e2fsprogs")
def test_disks_are_sparse_and_have_no_name(tmp_path):
    (name, scratch), (other, swap) = made(tmp_path, scratch=512 * MIB, swap=64 * MIB)
    with scratch, swap:
        assert (name, other) == ("scratch", "swap")
        assert list(tmp_path.iterdir()) == []
        assert os.fstat(scratch.fileno()).st_size == 512 * MIB
        assert os.fstat(scratch.fileno()).st_blocks * 512 < 64 * MIB
        assert os.pread(scratch.fileno(), 2, 1024 + 0x38) == b"\x53\xef"  # EXT4_SUPER_MAGIC
        assert os.fstat(swap.fileno()).st_blocks == 0


def test_no_disk_costs_nothing(tmp_path):
    assert made(tmp_path) == []


def test_a_file_system_that_takes_no_such_file_is_an_error(tmp_path, monkeypatch):
    def full(_path, _size):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(os, "truncate", full)
    with pytest.raises(OomctlError, match=r"disk of 64 MiB in .*: File too large; "):
        made(tmp_path, swap=64 * MIB)
