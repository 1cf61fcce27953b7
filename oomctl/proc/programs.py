"""Programs of this machine: find them, run them, capture their output."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from functools import partial
from typing import Any

from oomctl.errors import OomctlError
from oomctl.proc import fork

_LONG = 900.0  # seconds: a build of the module takes a minute on a slow machine
_DYING = 5.0  # seconds that a program may take to end after SIGKILL


def _path() -> str:
    """Return PATH with the sbin folders, where kmod's tools are: not every user has them in it."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def which(name: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(name, path=_path())


def run(
    *command: str,
    temporary: str = "/tmp",  # noqa: S108
    timeout: float | None = None,
) -> tuple[int, str]:
    """Run a program to its end; return its exit status and what it wrote, both streams together.

    It inherits no variables: MAKEFLAGS of an outer make would change an inner one. Its temporary
    files go to `temporary`. If oomctl is interrupted, or after `timeout` seconds (then
    subprocess.TimeoutExpired is raised), the program and its children are killed; without `timeout`
    they have 15 minutes, and the error is an OomctlError. For a missing program the status is 127.
    """
    try:
        process = subprocess.Popen(
            command,
            env={"PATH": _path(), "LC_ALL": "C", "TMPDIR": temporary},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=partial(fork.before_exec, os.getpid()),
        )
    except FileNotFoundError:
        return 127, f"{command[0]}: not found"
    try:
        output, _none = communicate(process, timeout=_LONG if timeout is None else timeout)
    except subprocess.TimeoutExpired as error:
        if timeout is not None:
            raise
        raise OomctlError(
            f"`{' '.join(command)}` did not end within {_LONG / 60:g} minutes, and was killed",
            "run it by hand to see what it waits for",
        ) from error
    return process.returncode, output


def communicate(process: subprocess.Popen[str], timeout: float) -> tuple[str, str]:
    """Read the output of the leader of a session to its end; it, and its children, end in any case.

    If oomctl is interrupted, or after `timeout` seconds (subprocess.TimeoutExpired), they are
    killed.
    """
    try:
        return process.communicate(timeout=timeout)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        reap(process)
        raise


def reap(process: subprocess.Popen[Any]) -> None:
    """Wait for a killed program, but unlike Popen.__exit__ not forever, and close its pipes."""
    with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it ends when it leaves it
        process.wait(_DYING)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
