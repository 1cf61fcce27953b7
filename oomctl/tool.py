"""Programs of this machine: find them, run them, take their output."""

import os
import shutil
import signal
import subprocess
from functools import partial

from oomctl.kernel import child

# Not every user has the sbin folders in PATH, where kmod's tools are.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def which(name: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(name, path=_PATH)


def run(
    *command: str,
    temporary: str = "/tmp",  # noqa: S108
    timeout: float | None = None,
) -> tuple[int, str]:
    """Run a program to its end; return its exit status and what it wrote, both streams together.

    It inherits no variable: an outer make's MAKEFLAGS would change an inner one. Its temporary
    files go to `temporary`. Where oomctl is interrupted, or after `timeout` seconds with
    subprocess.TimeoutExpired, the program and its children are killed.
    A program that is not there is status 127.
    """
    try:
        process = subprocess.Popen(
            command,
            env={"PATH": _PATH, "LC_ALL": "C", "TMPDIR": temporary},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=partial(child.die_with, os.getpid()),
        )
    except FileNotFoundError:
        return 127, f"{command[0]}: not found"
    with process:
        try:
            output, _none = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output
