"""Hogs and their memory: each check in each of its states."""

import errno
import os

import pytest

from oomctl.doctor.machine import selected
from tests.machine import the

PROGRAMS = pytest.mark.parametrize("program", ["hog", "caller"])


@PROGRAMS
def test_a_program_that_is_not_built_for_this_machine(fit_machine, program):
    fit_machine.architecture = "riscv64"
    found = the(fit_machine, program)
    assert found.state == "missing"
    assert f"no {program} for riscv64, only for aarch64, x86_64" in found.found


@PROGRAMS
@pytest.mark.parametrize(
    ("said", "says"),
    [
        ((126, ""), "exit status 126"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/hog"), "/x/hog: Permission denied"),
        (OSError(errno.ENOEXEC, "Exec format error"), "Exec format error"),
    ],
)
def test_a_program_that_does_not_run(fit_machine, program, said, says):
    fit_machine.said[program] = said
    found = the(fit_machine, program)
    assert (found.state, says in found.found) == ("missing", True)


@pytest.mark.parametrize(
    ("limit", "state", "says"),
    [
        (-1, "ok", "no limit"),
        (1024, "ok", "room for about 480 hogs"),
        (128, "warning", "room for about 32 hogs"),
        (3, "warning", "room for about 0 hogs"),
    ],
)
def test_open_files(fit_machine, limit, state, says):
    fit_machine.open_files = limit
    found = the(fit_machine, "open files")
    assert (found.state, says in found.found) == (state, True)


@pytest.mark.parametrize(("left", "state"), [(100 << 20, "warning"), (1 << 30, "ok")])
def test_memory(fit_machine, left, state):
    fit_machine.available = left
    assert the(fit_machine, "memory").state == state


SWAPS = "Filename Type Size Used Priority\n{} partition\t1048576\t512\t100\n"


@pytest.mark.parametrize(
    ("device", "zswap", "states"),
    [
        ("/dev/sda2", "N", ("warning", "ok", "ok")),
        ("/dev/zram0", "N", ("warning", "warning", "ok")),
        ("/dev/sda2", "Y", ("warning", "ok", "warning")),
        (None, "Y", ("ok", "ok", "ok")),
    ],
)
def test_swap(fit_machine, device, zswap, states):
    if device:
        fit_machine.write("/proc/swaps", SWAPS.format(device))
    fit_machine.write("/sys/module/zswap/parameters/enabled", f"{zswap}\n")
    seen = [the(fit_machine, name) for name in ("swap", "zram", "zswap")]
    assert tuple(each.state for each in seen) == states
    assert all(bool(each.fix) == (each.state == "warning") for each in seen)
    if device:
        assert f"1G on {device}, 512K used" in seen[0].found


def test_no_zswap_at_all(fit_machine):
    fit_machine.remove("/sys/module/zswap/parameters/enabled")
    assert the(fit_machine, "zswap").found == "this kernel has none"


def test_psi_is_not_built_in(fit_machine):
    fit_machine.remove("/proc/pressure/memory")
    found = the(fit_machine, "PSI")
    assert (found.state, found.fix) == ("warning", "boot with `psi=1`")


@pytest.mark.parametrize(
    ("number", "says"), [(errno.EOPNOTSUPP, "off"), (errno.EIO, "cannot be checked")]
)
def test_psi_is_off(fit_machine, monkeypatch, number, says):
    def read(path):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(fit_machine, "read", read)
    found = the(fit_machine, "PSI")
    assert (found.state, says in found.found) == ("warning", True)


def test_strict_overcommit(fit_machine):
    fit_machine.write("/proc/sys/vm/overcommit_memory", "2\n")
    assert the(fit_machine, "overcommit_memory").fix == "sysctl vm.overcommit_memory=0"


def test_huge_pages(fit_machine):
    assert "none reserved" in the(fit_machine, "huge pages").found
    fit_machine.write("/proc/meminfo", "HugePages_Free:       7\nHugepagesize:    2048 kB\n")
    assert the(fit_machine, "huge pages").found == "7 of 2M free"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("[always] madvise never", "ok"),
        ("always [madvise] never", "ok"),
        ("always madvise [never]", "warning"),
        (None, "warning"),
    ],
)
def test_transparent_huge_pages(fit_machine, text, state):
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    fit_machine.write(path, text) if text else fit_machine.remove(path)
    found = the(fit_machine, "transparent huge pages")
    assert found.state == state
    assert text is None or found.found.startswith(selected(text))
