"""A Python in a guest that has imported oomctl's modules, and is forked for oomctl's commands.

guest-init.sh starts it before the machine is saved, in a folder of the initramfs that has the files
of this machine's Python (lab/packed.py), and guest-run.sh asks it. A child takes everything that a
process has of the shell that asked, so that it is as if the shell had executed the command.
"""

import atexit
import builtins
import contextlib
import ctypes
import gc
import io
import json
import mmap
import os
import platform
import signal
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TextIO, cast

from oomctl import lazy
from oomctl.errors import OomctlError

MODULES = (
    *("__main__", "cli.declare", "cli.run", "cli.smoke"),
    *("report.json_forms", "report.outcome_parts", "report.run_parts", "report.smoke_saved"),
    *("report.tones", "bpf.removed_memcg", "bpf.struct_ops"),
    *("experiment.session", "scenario.loader", "scenario.scenario", "smoke.runner", "smoke.suite"),
)
"""Modules of oomctl with which its usual commands in a guest need few others."""
OTHERS = ("tempfile", "random", "json", "difflib", "tabulate", "tomllib")
"""What their functions import."""
REQUEST = "/run/oomctl/python.request"
_STREAMS = 5
"""The first of three descriptors that the shell has for the child."""
_ANSWER = "run/oomctl/python.answer"
_PR_SET_NAME, _PR_SET_MM = 15, 35
_ARGUMENTS, _ENVIRONMENT = (8, 9), (10, 11)
"""PR_SET_MM_ARG_START, _END, and PR_SET_MM_ENV_START, _END (include/uapi/linux/prctl.h)."""
_LIBC = ctypes.CDLL(None)
_opened = contextlib.ExitStack()
"""What the children find open; it is never closed."""


def prepare() -> None:
    """Import what oomctl's commands need, open libbpf and BTF, and have each plan something."""
    for name in MODULES:
        import_module(f"oomctl.{name}")
    for name in OTHERS:
        import_module(name)
    with contextlib.suppress(OomctlError):
        vmlinux = _opened.enter_context(lazy.load("bpf.btf:vmlinux")())
        for program in lazy.load("bpf.observer:PROGRAMS"):
            program.fits(vmlinux)  # what is found stays known
        lazy.load("bpf.btf:find_kfunc")()
    text = io.StringIO()
    example, *_ = map(str, lazy.load("resources:examples")())
    for words in (("declare", "--dry-run"), ("run", example, "--dry-run"), ("smoke", "--list")):
        sys.argv = ["oomctl", *words]
        with (
            contextlib.redirect_stdout(text),
            contextlib.redirect_stderr(text),
            contextlib.suppress(SystemExit),
        ):
            lazy.load("__main__:main")()
    vars(platform)["_uname_cache"] = None  # a command may change the name of the host


def main() -> NoReturn:
    """Wait for requests, and do each in a child."""
    prepare()
    gc.collect()
    gc.freeze()  # else the first collection in a child would copy every page
    os.write(1, b"%d\n" % os.getpid())
    os.dup2(2, 1)
    become(_asked())
    try:
        lazy.load("__main__:main")()
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            _leave(left.code or 0)
        raise
    _leave(0)


def _leave(status: int) -> NoReturn:
    """End as Python does, but free nothing: that would touch, and so copy, all that was forked."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError:
        sys.exit(status)  # Python knows what to say of that
    os._exit(status & 0xFF)


def _asked() -> str:
    """Return, in a child, the PID of the shell that asks; the parent tells it of the child.

    The shell reads a line with the child's PID, and one with its status, as shells have it.
    """
    requests = open(0, buffering=1, closefd=False)  # noqa: SIM115
    for line in requests:
        asker = line.strip()
        try:
            answer = os.open(Path("/proc", asker, "root", _ANSWER), os.O_WRONLY)
        except OSError:  # it is gone
            continue
        pid = os.fork()
        if pid == 0:
            return asker
        os.write(answer, b"%d\n" % pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(BrokenPipeError):
            os.write(answer, b"%d\n" % (code if code >= 0 else 128 - code))
        os.close(answer)
    sys.exit()


def become(asker: str) -> None:
    """Make this process what it would be if that process had executed what it asks for."""
    take_place(asker)
    request = json.loads(Path(REQUEST).read_text())
    words, environment = request["words"], {**_exported(), **request["environment"]}
    _show(words, environment)
    sys.executable = request["python"]
    take_words(words, request["path"])
    take_environment(environment)


def take_place(asker: str) -> None:
    """Take root, folder, cgroup, streams, signals, umask of a process, and a session of its own.

    Its oom_score_adj is that of process 1: the shell that asks has made itself unkillable.
    """
    there = Path("/proc", asker)
    Path("/proc/self/oom_score_adj").write_text(Path("/proc/1/oom_score_adj").read_text())
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    lines = (there / "status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    for fd, how in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        opened = os.open(there / "fd" / str(_STREAMS + fd), how)
        os.dup2(opened, fd)
        os.close(opened)
    cgroup = (there / "cgroup").read_bytes()
    folder = os.open(there / "cwd", os.O_PATH)
    os.chroot(there / "root")
    os.fchdir(folder)
    os.close(folder)
    if cgroup != Path("/proc/self/cgroup").read_bytes():
        path = os.fsdecode(cgroup.rpartition(b"0::")[2].rstrip(b"\n"))
        Path(f"/sys/fs/cgroup{path}/cgroup.procs").write_text("0")
    os.setsid()
    os.umask(int(status["Umask"], 8))
    take_signals(int(status["SigIgn"], 16), int(status["SigBlk"], 16))


def take_signals(ignored: int, blocked: int) -> None:
    """Ignore and block signals as /proc/PID/status has them; the rest is as Python begins."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN if _has(ignored, number) else signal.SIG_DFL)
    if not _has(ignored, signal.SIGINT):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    held = {number for number in signal.valid_signals() if _has(blocked, number)}
    signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _has(mask: int, number: int) -> bool:
    return bool(mask >> (number - 1) & 1)


def take_words(words: Sequence[str], path: Sequence[str]) -> None:
    """Have the words of a Python, its folder of the script or module, and streams of its own."""
    is_module = words[1] == "-m"
    script = str(lazy.load("__main__:__file__")) if is_module else words[1]
    vars(sys)["orig_argv"] = [*words]
    sys.argv = [script, *words[3 if is_module else 2 :]]
    sys.path[:1] = path
    sys.path_importer_cache.clear()
    made = types.ModuleType("__main__")
    made.__dict__.update(__file__=script, __package__="oomctl" if is_module else None)
    made.__dict__.update(__builtins__=builtins)
    sys.modules["__main__"] = made
    sys.stdin, sys.stdout = _stream(0, sys.stdin), _stream(1, sys.stdout)
    sys.stderr = _stream(2, sys.stderr)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))
    gc.enable()


def _stream(fd: int, like: TextIO) -> TextIO:
    """Open a stream as Python does at its start (Python/pylifecycle.c, create_stdio)."""
    mode, buffering = "w" if fd else "r", 1 if fd == 2 else -1
    return cast(TextIO, open(fd, mode, buffering, like.encoding, like.errors, "\n", closefd=False))


def take_environment(environment: Mapping[str, str]) -> None:
    """Have these variables, and that with which Python has replaced the locale C (PEP 538)."""
    locale = {name: os.environ[name] for name in ("LC_CTYPE",) if name in os.environ}
    os.environ.clear()
    os.environ.update({**locale, **environment})
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    time.tzset()


def _exported() -> dict[str, str]:
    """Return the variables that process 1, the shell, has of the kernel and passes on.

    Two are its own, which lab/initramfs.py unsets.
    """
    pairs = Path("/proc/1/environ").read_bytes().split(b"\0")
    found = dict(os.fsdecode(pair).split("=", 1) for pair in pairs if b"=" in pair)
    return {name: value for name, value in found.items() if name not in ("OLDPWD", "SHLVL")}


def _show(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Show words and environment in /proc/self, and the name of the program (prctl(2))."""
    name = words[0] if words[1] == "-m" else words[1]
    _LIBC.prctl(_PR_SET_NAME, os.fsencode(os.path.basename(name))[:15], 0, 0, 0)  # noqa: PTH119
    variables = [f"{name}={value}" for name, value in environment.items()]
    for ends, texts in ((_ARGUMENTS, words), (_ENVIRONMENT, variables)):
        data = b"".join(os.fsencode(text) + b"\0" for text in texts)
        area = mmap.mmap(-1, len(data), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area.write(data)
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        _shown.append(area)
        for option, address in zip(ends, (start, start + len(data)), strict=True):
            _LIBC.prctl(_PR_SET_MM, option, ctypes.c_ulong(address), 0, 0)


_shown: list[mmap.mmap] = []
"""What the kernel reads for others as long as this process lives."""


if __name__ == "__main__":
    main()
