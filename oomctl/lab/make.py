"""Runs make, and shows what it does on one live line."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from oomctl import console
from oomctl.errors import OomctlError
from oomctl.proc import fork, programs

_EVERY = 60.0
"""Seconds between two notes if there is no terminal for a live line."""
_END_SECONDS = 10.0
_KEPT = 200
# make and its compilers end with oomctl, however that ends: a shell in their process group waits
# for the end of a pipe. SIGTERM lets make remove what is half written.
_LEASHED = """exec 3<&0 </dev/null
(trap "" TERM; cat <&3; kill -TERM 0) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""


def run(words: Sequence[str], what: str, log: Path) -> None:
    """Run make with these words to its end; its output is added to `log`.

    OomctlError if it fails: its text has make's first error, its detail the end of the output.
    """
    last: deque[str] = deque(maxlen=_KEPT)
    began = noted = time.monotonic()
    steps = 0
    with log.open("a", buffering=1) as file, _started(words) as process:
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            file.write(line)
            last.append(line.rstrip())
            console.detail(line.rstrip())
            steps += line.startswith("  ")
            console.bar(f"{what}: {steps} steps, {line.strip()}")
            if time.monotonic() - noted >= _EVERY and not sys.stderr.isatty():
                noted = time.monotonic()
                console.progress(f"{what}: {steps} steps in {(noted - began) / 60:.0f} min")
        console.end_bar()
        status = process.wait()
    if status:
        raise _failure(what, last, log)


@contextmanager
def _started(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Start make in a process group of its own, which ends with the block."""
    held, leash = os.pipe()
    try:
        process = subprocess.Popen(
            ["sh", "-c", _LEASHED, "sh", "make", *words],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=held,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=partial(fork.before_exec, os.getpid()),
        )
    finally:
        os.close(held)
    try:
        yield process
    finally:
        os.close(leash)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        programs.reap(process)


def _failure(what: str, last: Iterable[str], log: Path) -> OomctlError:
    lines = [line for line in last if "rror" in line or "No space left" in line]
    full = next((line for line in lines if "No space left" in line), None)
    if full:
        return OomctlError(f"{what} failed: {full.strip()}", f"free some space for {log.parent}")
    why = lines[0].strip() if lines else "make gave no reason"
    return OomctlError(f"{what} failed: {why}", f"{log} has all of make's output", "\n".join(last))
