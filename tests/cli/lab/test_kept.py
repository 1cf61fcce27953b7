"""`oomctl lab start`, `exec`, `stop` and `shell` without a machine booted."""

import pytest

from oomctl.cli import guest
from oomctl.lab import (
    architecture,
    kept,
    kept_run,
    stock,
)
from oomctl.lab.kept import Record
from oomctl.lab.vm import Ending
from tests.cli.lab.command import invoke


@pytest.fixture
def keeps(monkeypatch):
    """Take what a kept guest would be started with or would run."""
    seen = []
    ending = Ending(7, False, 0.1, 0.2, "")
    monkeypatch.setattr(kept_run, "start", lambda *given: seen.append(given) or (9.0, ()))
    monkeypatch.setattr(kept_run, "run", lambda *given: seen.append(given) or ending)
    monkeypatch.setattr(kept, "find", lambda name: Record(name, 1, 1.0, "6.12", None, 600.0))
    monkeypatch.setattr(kept, "stop", lambda record: seen.append(record.name))
    monkeypatch.setattr(guest, "outputs", lambda: (1, 2))
    return seen


def test_a_guest_is_started_used_and_stopped_by_its_name(keeps):
    done = invoke("start", "--name", "a", "--idle", "5m", "--owner", "1", "--disk", "1G")
    assert (done.exit_code, done.stdout) == (
        0,
        "guest a is ready after 9.0 s: 6.12, ends after 5m without a command, or with pid 1\n",
    )
    machine, job, keeping, timeout = keeps[0]
    assert (machine.scratch, job.kept, timeout) == (1 << 30, True, 600)
    assert (keeping.name, keeping.owner, keeping.idle) == ("a", 1, 300)
    assert invoke("exec", "--name", "a", "--", "sh", "-c", "exit 7").exit_code == 7
    assert (keeps[1][0].name, keeps[1][1].words) == ("a", ("sh", "-c", "exit 7"))
    assert invoke("stop", "--name", "a").exit_code == 0
    assert keeps[2] == "a"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["start", "--name", "a/b"], "'a/b' is not a name"),
        (["start", "--owner", "4194304"], "there is no such process"),
        (["start", "--idle", "0"], "'--idle': 0 is out of range"),
        (["exec", "--", "x"], "no guest 'lab' runs; `oomctl lab start` starts one"),
        (["exec"], "COMMAND"),
        (["stop"], "no guest 'lab' runs"),
        (
            ["shell"],
            "stdin and stdout are not a terminal; run it in a terminal; lab run needs none",
        ),
    ],
)
def test_wrong_usage_of_kept_guests_and_shells(words, why):
    done = invoke(*words)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert why in done.stderr


def test_a_guest_of_another_architecture_is_not_kept(monkeypatch):
    monkeypatch.setattr(architecture.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(stock, "get", lambda *_: pytest.fail("fetched"))
    done = invoke("start", "--arch", "arm64")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "a guest that is kept has this machine's architecture; lab run and" in done.stderr
