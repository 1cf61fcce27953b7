"""Where hostile commands are tried: fenced in, counted, and held to what a user may meet."""

import os
from pathlib import Path
from unittest import mock

import typer
from hypothesis import HealthCheck, settings
from typer.testing import CliRunner

from oomctl import cache, console
from oomctl.cli import app, kept
from oomctl.text import printable
from tests.audit import batch

ALL = int(os.environ.get("OOMCTL_HOSTILE", 0))
_SLICE = 900
ROOT = typer.main.get_command(app)
"""The command tree, made once: the runner would make it for every case."""

ran = {}
"""How many cases each property had so far."""

_DEVICES = {"/dev/null", "/dev/full", "/dev/zero"}


def cases(percent):
    """Settings for so many percent of all cases: of OOMCTL_HOSTILE, else of a small slice."""
    return settings(
        max_examples=max((ALL or _SLICE) * percent // 100, 1),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def count(name):
    """Count a case of a property."""
    ran[name] = ran.get(name, 0) + 1


class Fence:
    """Refuses every change outside of some folders, and keeps what was tried."""

    def __init__(self, *folders):
        self.folders = folders
        self.tried = []

    def __call__(self, change):
        event, first, *_rest = change
        # a file that is open already, opened once more
        path = Path(first).readlink() if first.startswith("/proc/self/fd/") else Path(first)
        inside = event == "open" or event.startswith(("os.mk", "os.rm", "os.re", "os.ch"))
        where = path.parent.resolve() if inside else None
        if (
            str(path) in _DEVICES
            or first.isdecimal()
            or (inside and any(map(where.is_relative_to, self.folders)))
        ):
            return
        self.tried.append(change)
        raise PermissionError(1, "fenced", first)


def invoke(*words, allowed=None):
    """Run a command line fenced into the current folder, or another; it must not try to get out."""
    fence = Fence(allowed or Path.cwd(), cache.folder(*kept._FOLDER).parent)
    console.set_verbosity(0)
    ready = mock.patch.object(typer.testing, "_get_command", return_value=ROOT)
    with ready, batch(fence):
        result = CliRunner().invoke(app, [*map(str, words)])
    named = {Path(str(word).rpartition("=")[2]).parent for word in words if "/" in str(word)}
    assert [each for each in fence.tried if Path(each[1]).parent not in named] == []
    return result


def valid(result, codes=(0, 1, 2, 3, 4)):
    """No traceback, a documented exit code, a line for each complaint, nothing raw."""
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    said = result.stdout + result.stderr
    assert "Traceback" not in said
    assert result.exit_code in codes, said
    raw = {char for char in said if char != "\n" and printable(char) != char}
    assert not raw, f"{raw!r} in {said[:3000]!r}"
    if result.exit_code in (2, 3, 4):
        lines = result.stderr.splitlines()
        # a report that nothing ran, or of a host that could not be reached
        assert lines or (result.exit_code in (3, 4) and result.stdout)
        helped = lines[:1] and lines[0].startswith("Usage: ")  # a group without a command
        assert helped or all(line.startswith("oomctl: ") for line in lines), result.stderr
    return result
