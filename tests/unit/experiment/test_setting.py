"""Kernel settings: restored after the block, and changed by one oomctl at a time."""

import os
from pathlib import Path

import pytest

from oomctl.errors import OomctlError, UnsupportedError
from oomctl.experiment import setting
from oomctl.experiment.setting import put_back, switch_changed, sysctl_changed, temporarily
from oomctl.journal.entries import Changed
from oomctl.journal.file import Journal
from oomctl.oom.plan import Sysctl
from tests.journals import journals


@pytest.fixture
def sysctls(tmp_path, monkeypatch, journal):
    """A folder in place of /proc/sys, with one sysctl of one number and one of four."""
    folder = tmp_path / "sys"
    (folder / "vm").mkdir(parents=True)
    (folder / "kernel").mkdir()
    (folder / "vm/swappiness").write_text("60\n")
    (folder / "kernel/printk").write_text("7\t4\t1\t7\n")
    write = os.write

    def replace(fd, data):
        """What is written to a sysctl replaces what it held."""
        if Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(folder):
            os.ftruncate(fd, 0)
        return write(fd, data)

    monkeypatch.setattr(os, "write", replace)
    monkeypatch.setattr(setting, "SYSCTLS", folder)
    return folder


@pytest.mark.parametrize(
    ("name", "value", "was"),
    [("vm.swappiness", "0", "60"), ("kernel.printk", "1 4 1 7", "7 4 1 7")],
)
def test_a_sysctl_is_changed_in_the_block_and_restored(sysctls, journal, name, value, was):
    path = sysctls.joinpath(*name.split("."))
    with sysctl_changed(Sysctl(name, value), journal):
        assert path.read_text() == value
        assert b'"changed"' in journals()[0].read_bytes()
    assert path.read_text() == was


def test_a_value_that_another_program_wrote_stays(sysctls, journal):
    path = sysctls / "vm/swappiness"
    with sysctl_changed(Sysctl("vm.swappiness", "0"), journal):
        path.write_text("99\n")
    assert path.read_text() == "99\n"


def test_an_unknown_sysctl_is_refused(sysctls, journal):
    with (
        pytest.raises(UnsupportedError, match=r"no sysctl vm\.nonsense; leave it out"),
        sysctl_changed(Sysctl("vm.nonsense", "0"), journal),
    ):
        pass


def test_a_folder_of_sysctls_is_refused(sysctls, journal):
    with pytest.raises(UnsupportedError), sysctl_changed(Sysctl("vm", "0"), journal):
        pass


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("2000", r"cannot set the sysctl oom_score_adj to 2000: Inv"),
        ("0x3e7", r"the kernel stored 999, not 0x3e7, in the sysctl oom_score_adj; write '999'"),
    ],
)
def test_a_value_that_the_kernel_refuses_or_changes_does_not_stay(monkeypatch, journal, value, why):
    monkeypatch.setattr(setting, "SYSCTLS", Path(f"/proc/{os.getpid()}"))
    path = setting.SYSCTLS / "oom_score_adj"
    before = path.read_text()
    with (
        pytest.raises(UnsupportedError, match=why),
        sysctl_changed(Sysctl("oom_score_adj", value), journal),
    ):
        pass
    assert path.read_text() == before


@pytest.mark.parametrize("what", ["file", "folder"])
def test_nothing_is_restored_through_a_link(sysctls, tmp_path, what):
    path, away = sysctls / "vm/swappiness", tmp_path / "away"
    change = Changed(str(path), None, "0", "60")
    (sysctls / "vm").rename(away)
    if what == "folder":
        (sysctls / "vm").symlink_to(away)
    else:
        (sysctls / "vm").mkdir()
        path.symlink_to(away / "swappiness")
    with pytest.raises(OomctlError, match=r"cannot read .*: (Too many levels|Not a directory)"):
        put_back(change)
    assert (away / "swappiness").read_text() == "60\n"


def test_only_one_oomctl_at_a_time_changes_a_sysctl(sysctls, journal):
    path = sysctls / "vm/swappiness"
    with (
        Journal() as other,
        sysctl_changed(Sysctl("vm.swappiness", "0"), other),
        pytest.raises(UnsupportedError, match=rf"changed by another oomctl \(pid {os.getpid()}\)"),
        sysctl_changed(Sysctl("vm.swappiness", "1"), journal),
    ):
        pass
    assert path.read_text() == "60"
    with sysctl_changed(Sysctl("vm.swappiness", "1"), journal):
        assert path.read_text() == "1"


def test_of_two_that_start_at_the_same_moment_one_gives_up(sysctls, journal, monkeypatch):
    path = sysctls / "vm/swappiness"
    write = journal.write

    def late(entry):
        path.write_text("1\n")
        write(entry)

    monkeypatch.setattr(journal, "write", late)
    with (
        pytest.raises(UnsupportedError, match="changed by another program just now; run it again"),
        temporarily(path, "0", journal),
    ):
        pass
    assert path.read_text() == "1\n"


def test_a_switch_that_shows_all_its_words_is_restored_to_the_one_in_force(sysctls, journal):
    path = sysctls / "vm/enabled"
    path.write_text("always [madvise] never\n")
    with temporarily(path, "never", journal) as change:
        assert change.was == "madvise"
        path.write_text("always madvise [never]\n")
    assert path.read_text() == "madvise"


def test_a_switch_is_changed_in_the_block_and_restored(sysctls, journal):
    path = sysctls / "vm/enabled"
    path.write_text("0x0007\n")
    with switch_changed(path, "0x0000", journal):
        assert path.read_text() == "0x0000"
    assert path.read_text() == "0x0007"
    with pytest.raises(UnsupportedError, match="this kernel has no"), \
         switch_changed(sysctls / "none", "0", journal):  # fmt: skip
        pass
