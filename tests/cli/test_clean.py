"""`oomctl clean` on the command line."""

import pytest

from oomctl.journal.entries import Made, Making, Owner, line
from oomctl.journal.file import Journal, boot
from oomctl.journal.rundir import folder
from tests.cli.command import refused, run


@pytest.fixture
def left(cgroupfs):
    """A cgroup of an oomctl that was killed, and its journal."""
    top = cgroupfs.create_cgroup("t\x1b[31m")
    folder().mkdir(mode=0o700)
    entries = Owner(4242, boot()), Made(str(top.directory), top.id)
    (folder() / "1-gone.journal").write_bytes(b"".join(map(line, entries)))
    return top.directory


def test_nothing_to_clean_up(cgroupfs):
    result = run("clean")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "nothing to clean up\n", "")


def test_it_says_what_it_did(left):
    shown = str(left).replace("\x1b", "\\x1b")
    result = run("clean", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, f"oomctl (pid 4242): would remove {shown}\n")
    assert left.exists()
    result = run("clean")
    assert (result.exit_code, result.stdout) == (0, f"oomctl (pid 4242): removed {shown}\n")
    assert not left.exists()
    assert run("clean").stdout == "nothing to clean up\n"


def test_an_oomctl_that_still_runs_is_left_alone(cgroupfs):
    with Journal() as journal:
        made = Making("/nowhere")
        journal.write(made)
        assert run("clean").stdout == "nothing to clean up\n"
        journal.forget(made)


def test_what_cannot_be_removed_is_an_exit_code_of_4(left):
    (folder() / "1-gone.journal").write_bytes(
        b"".join(map(line, (Owner(4242, boot()), Making(str(left)))))
    )
    (left / "cgroup.procs").write_text("7\n")
    refused(run("clean"), 4, "oomctl (pid 4242): cannot remove the cgroup", "look at it")
    assert left.exists()


def test_a_folder_of_another_user(cgroupfs, monkeypatch):
    folder().mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: 77777)
    refused(run("clean"), 3, "belongs to user", "run it as that user")
