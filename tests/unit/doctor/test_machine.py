"""The machine that the checks read, as the one that the tests run on."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.doctor import CHECKS, examine
from oomctl.doctor.machine import Machine
from oomctl.kmod import module
from oomctl.proc import programs


def open_files():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_checks_change_nothing(changes):
    before = open_files()
    seen = examine(Machine(), CHECKS)
    assert len(seen.findings) == len(CHECKS)
    programs = (resources.built(f"{name}.{seen.architecture}") for name in ("hog", "caller"))
    harmless = {*map(str, programs), "systemctl"}
    assert [each for each in changes if each[1] not in harmless] == []
    assert open_files() == before


def test_the_changes_fixture(tmp_path, changes):
    (tmp_path / "x").write_text("")
    (tmp_path / "x").read_text()
    os.close(os.open(tmp_path, os.O_RDONLY))
    (tmp_path / "x").unlink()
    (tmp_path / "y").mkdir()
    subprocess.run(["true"], check=True)
    assert [event for event, *_ in changes] == ["open", "os.remove", "os.mkdir", "subprocess.Popen"]


def test_a_file(tmp_path):
    (tmp_path / "f").write_bytes(b" a\xff\n")
    machine = Machine(tmp_path)
    assert machine.read("/f") == "a\udcff"
    assert machine.read("/gone") is None
    assert machine.read("/f/below") is None
    with pytest.raises(IsADirectoryError):
        machine.read("/")


def test_ourselves():
    machine = Machine()
    assert machine.uid == os.geteuid()
    assert int(machine.status["Pid"]) == os.getpid()
    assert machine.capabilities("CapBnd") > 0
    assert machine.own_cgroup.startswith("/")
    assert machine.open_files == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert machine.sysctl("vm.overcommit_memory") in (0, 1, 2)
    assert machine.sysctl("vm.no_such_thing") is None
    assert machine.available_memory > 0
    assert os.getpid() in [each.pid for each in machine.programs()]
    for program in ("hog", "caller"):
        assert machine.built_for(program) == ["aarch64", "x86_64"]
        assert machine.try_built(program) == (2, "")


def test_file_systems(tmp_path):
    machine = Machine()
    assert machine.magic("/proc") == 0x9FA0
    assert not machine.read_only(tmp_path)
    assert machine.may_write(tmp_path)
    assert not machine.delegated(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone"):
        machine.magic(tmp_path / "gone")


@pytest.mark.parametrize("name", ["user.delegate", "trusted.delegate"])
@pytest.mark.parametrize("value", [b"1", b"0"])
def test_the_mark_of_a_delegated_cgroup(monkeypatch, tmp_path, name, value):
    def getxattr(_path, asked):
        if asked != name:
            raise OSError(errno.ENODATA, "No data available")
        return value

    monkeypatch.setattr(os, "getxattr", getxattr)
    assert Machine().delegated(tmp_path) is (value == b"1")


def test_a_command_of_the_same_name(monkeypatch, tmp_path):
    program = tmp_path / "oomctl"
    program.write_bytes(b"\x7fELF...")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Machine().which("oomctl") == program
    assert Machine().head(program).startswith(b"\x7fELF")
    assert Machine().head(tmp_path / "gone") == b""
    assert Machine().which("gone") is None


def test_a_program_that_hangs_is_left():
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run(sys.executable, "-c", "import time; time.sleep(60)", timeout=0.2)


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("proc/sys/kernel/modules_disabled", "1\n", "no more modules"),
        ("sys/module/module/parameters/sig_enforce", "Y\n", "signed modules only"),
        ("sys/kernel/security/lockdown", "none [integrity]\n", "signed modules only"),
        ("sys/kernel/security/lockdown", "[none] integrity\n", None),
        ("proc/sys/kernel/modules_disabled", "0\n", None),
    ],
)
def test_why_modules_are_refused(tmp_path, path, text, says):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    reason = module.forbidden("m.ko", tmp_path / "proc", tmp_path / "sys")
    assert (reason is None) is (says is None)
    assert reason is None or says in reason.why
