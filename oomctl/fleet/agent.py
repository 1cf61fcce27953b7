"""What a host of the fleet runs, from the folder that oomctl was unpacked into.

A supervisor outlives the connection. It runs the command; if nothing polls it any more, it ends the
command and removes the folder. Each operation prints a JSON object. It imports nothing of ours
before the command does.
"""

import fcntl
import io
import json
import os
import platform
import runpy
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

LEASE, PATIENCE, GRACE = 300.0, 5.0, 40.0
"""Seconds: without a poll until all ends; that a poll waits; that the command has for its end."""
CHUNK = 1 << 18
RECORD, SAID, SENT, LEASED, STATUS, LOCK = map(
    Path, ("record", "said", "sent", "lease", "status", "lock")
)


def start(folder: Path, archive: str, confirmed: str) -> dict[str, Any]:
    """Unpack oomctl into a new folder, and leave a supervisor there."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a lost connection must not leave half of it
    with zipfile.ZipFile(archive) as packed:
        job = json.loads(packed.read("job.json"))
        if platform.machine() != job["machine"]:
            return {"error": f"it is {platform.machine()}, this oomctl is for {job['machine']}"}
        if job["python"] not in ("", version := platform.python_version().rpartition(".")[0]):
            return {"error": f"it has Python {version}; scenarios need {job['python']}, as here"}
        try:
            folder.mkdir(mode=0o700, exist_ok=True)  # Ansible's own files are in it already
            for info in packed.infolist():
                Path(packed.extract(info, folder)).chmod(info.external_attr >> 16 & 0o700)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            return {"error": f"cannot unpack oomctl into {folder}: {error.strerror}"}
    os.chdir(folder)
    LEASED.touch()
    lock = LOCK.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fork() == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for each in range(3):
            os.dup2(null, each)
        _supervise(lock, confirmed, job["words"])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)
    return {"boot": _boot(), "kernel": platform.release()}


def _supervise(lock: TextIO, confirmed: str, words: list[str]) -> None:
    """Run the command until it ends; return if a signal comes, or if nothing polls."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ended.append(number))
    lock.write(str(os.getpid()))
    lock.flush()
    own = [sys.executable, "-m", "oomctl.fleet.agent", "run", confirmed]
    with SAID.open("wb") as said:
        child = subprocess.Popen([*own, *words], stderr=said, start_new_session=True)
    while not ended and time.time() - LEASED.stat().st_mtime < LEASE:
        time.sleep(0.1)
        if child.poll() is not None and not STATUS.exists():
            text = SAID.read_text(errors="replace")[-2000:]
            _replace(STATUS, {"rc": child.returncode, "said": text})
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(child.pid, number)
            child.wait(GRACE)


def run(confirmed: str, words: list[str]) -> NoReturn:
    """Check this host, then be oomctl; a record on stdout is on the disk before a case goes on."""
    done = subprocess.run(
        [sys.executable, "-m", "oomctl", "doctor", "-f", "json"], capture_output=True, text=True
    )
    found = json.loads(done.stdout) if done.stdout else {"checks": []}
    if words[0] == "doctor":
        RECORD.write_text(json.dumps({"kind": "doctor", **found}) + "\n")
        sys.exit(done.returncode)
    if done.returncode:
        lacks = [check["found"] for check in found["checks"] if check["state"] == "missing"]
        _refuse(f"doctor: {lacks[0] if lacks else done.stderr}")
    from oomctl.journal.file import Journal

    with Journal() as journal:
        others = [pid for pid, _ in journal.others() if Path(f"/proc/{pid}").exists()]
    if others:
        _refuse(f"another oomctl (pid {others[0]}) runs there")
    path = RECORD if words[0] == "smoke" else os.devnull
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC, 0o600), 1)
    if confirmed:
        sys.stdout = _Confirmed(os.fdopen(1, "wb"), "utf-8")
    sys.argv = ["oomctl", *words]
    runpy.run_module("oomctl", run_name="__main__", alter_sys=True)
    sys.exit()


def _refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(3)


class _Confirmed(io.TextIOWrapper):
    """Stdout on a host that may die: a case begins when its name has arrived."""

    def write(self, text: str) -> int:
        """Write a line; wait a while for its confirmation if it says that a case begins."""
        length = super().write(text)
        self.flush()
        end = time.monotonic() + 12 * PATIENCE
        while '"kind": "start"' in text and time.monotonic() < end:
            if _sent()[0] >= os.fstat(1).st_size:
                break
            time.sleep(0.05)
        return length


def poll() -> dict[str, Any]:
    """Return what is new of the record, and the exit code at its end.

    That the next poll comes confirms that this one has arrived.
    """
    LEASED.touch()
    at = _sent()[1]
    _replace(SENT, [at, at])
    end = time.monotonic() + PATIENCE
    while not (over := STATUS.exists() or _free()) and time.monotonic() < end:
        time.sleep(0.2)
        if RECORD.exists() and RECORD.stat().st_size > at:
            break
    data = b""
    if RECORD.exists():
        with RECORD.open("rb") as record:
            record.seek(at)
            data = record.read(CHUNK)
            over = over and not record.read(1)
    _replace(SENT, [at, at + len(data)])
    answer = {"at": at, "data": data.decode("latin-1"), "boot": _boot(), "rc": None, "said": ""}
    if over:
        answer |= json.loads(STATUS.read_text()) if STATUS.exists() else {"rc": -1}
    return answer


def end() -> dict[str, Any]:
    """End what still runs, and remove the folder; tell whether it is gone."""
    folder = Path.cwd()
    end = time.monotonic() + GRACE + PATIENCE
    while folder.exists() and time.monotonic() < end:
        if _free():
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):  # it ends, or begins
            os.kill(int(LOCK.read_text()), signal.SIGTERM)
        time.sleep(0.1)
    return {"gone": not folder.exists()}


def _free() -> bool:
    """Tell whether the supervisor is gone."""
    with suppress(FileNotFoundError), LOCK.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _sent() -> list[int]:
    """Return how many bytes of the record have arrived, and how many were sent."""
    return list(json.loads(SENT.read_text())) if SENT.exists() else [0, 0]


def _replace(path: Path, tree: object) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(tree))
    new.rename(path)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def main() -> None:
    """Do an operation; __main__.py of the archive calls it too."""
    answer: dict[str, Any] = {}
    match sys.argv[1:]:
        case ["start", folder, confirmed]:
            answer = start(Path(folder), sys.argv[0], confirmed)
        case ["run", confirmed, *words]:
            run(confirmed, words)
        case ["poll"]:
            answer = poll()
        case ["rewind"]:  # the last poll may not have arrived
            _replace(SENT, [_sent()[0]] * 2)
        case _:
            answer = end()
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
