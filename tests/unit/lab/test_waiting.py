"""A Python that waits: its children are as if they had just been started, and say how they end.

Here it waits in namespaces of this machine's kernel, and the shell that asks is that of a guest.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oomctl import resources
from oomctl.lab import packed, waiting

GUEST_RUN = Path(waiting.__file__).with_name("guest-run.sh").read_text()
ASK = "ask() {" + GUEST_RUN.partition("ask() {")[2].partition("\n}\n")[0] + "\n}"
NAMESPACES = ["unshare", "--mount", "--pid", "--fork"]


def able():
    """Tell whether namespaces can be made."""
    programs = shutil.which("unshare") and shutil.which("busybox")
    return programs and not subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode


with_namespaces = pytest.mark.skipif(not able(), reason="needs root, unshare and busybox")

FACTS = """#!{python}
import gc, json, locale, os, random, signal, sys, time


def facts():
    made = dict(argv=sys.argv, orig=sys.orig_argv, path=sys.path, executable=sys.executable)
    made.update(environ=dict(os.environ), cwd=os.getcwd(), session=os.getsid(0) == os.getpid())
    made.update(group=os.getpgid(0) == os.getpid(), time=time.tzname)
    made.update(locale=locale.getlocale(), bytecode=sys.dont_write_bytecode)
    with open("/proc/self/status") as file:
        lines = file.read().splitlines()
    names = ("Name", "Umask", "SigBlk", "SigIgn", "SigCgt", "Threads", "Uid", "Groups", "CapEff")
    made.update(status=[line for line in lines if line.partition(":")[0] in names])
    opened = [str(fd) for fd in range(64) if os.path.exists(f"/proc/self/fd/{{fd}}")]
    made.update(descriptors=opened)
    made.update(files=[os.readlink(f"/proc/self/fd/{{fd}}") for fd in range(3)])
    made.update(interrupt=str(signal.getsignal(signal.SIGINT)), gc=gc.isenabled())
    streams = [sys.stdin, sys.stdout, sys.stderr]
    made.update(own=[sys.__stdin__ is sys.stdin, sys.__stdout__ is sys.stdout])
    for name in ("encoding", "errors", "line_buffering", "write_through", "mode"):
        made[name] = [getattr(each, name) for each in streams]
    main = sys.modules["__main__"]
    made.update(main=[main.__file__, main.__package__, main.__name__])
    with open("/proc/self/oom_score_adj") as file:
        made["adj"] = file.read()
    return made


def main():
    match sys.argv[1:]:
        case ["facts"]:
            print(json.dumps(facts()), flush=True)
        case ["random"]:
            print(random.random(), os.urandom(4).hex(), sep=" ")
        case ["kill", number]:
            print("begun", flush=True)
            os.kill(os.getpid(), int(number))
        case ["exit", number]:
            print("not flushed")
            sys.exit(int(number))
        case ["fail"]:
            raise RuntimeError("as it is")
        case ["read"]:
            print(sys.stdin.read().upper(), end="")


if __name__ == "__main__":
    sys.exit(main())
"""
WAITING = """
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from oomctl.lab import waiting
import oomctl.__main__
spec = spec_from_loader("facts", SourceFileLoader("facts", sys.argv[1]))
facts = module_from_spec(spec)
spec.loader.exec_module(facts)
oomctl.__main__.main = facts.main
waiting.prepare = lambda: None
waiting.main()
"""
SCRIPT = """
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs run /run
mkdir /run/oomctl
cd /run/oomctl
mkfifo python.asked python.answer python.up
env -i HOME=/root PYTHONDONTWRITEBYTECODE=1 {python} {before}/waiting.py {before}/oomctl \
    <>python.asked >python.up 2>{before}/log &
read -r pid <python.up && echo "$pid" >python.pid
record() {{ echo "record $1"; }}
{ask}
{lines}
"""
LINE = """
(
    export {variables}
    umask 027
    cd -- {folder}
    unset OLDPWD SHLVL
    {ask}
    exec setsid {words}
) <{folder}/in >{folder}/out{number} 2>{folder}/err{number}
echo $? >{folder}/status{number}
"""


@pytest.fixture
def done(tmp_path):
    """Do words by the Python that waits, or as they are; return status, stdout, stderr of each."""
    folder = tmp_path / "a"
    folder.mkdir()
    script = folder / "oomctl"
    script.write_text(FACTS.format(python=sys.executable))
    script.chmod(0o755)
    (folder / "waiting.py").write_text(WAITING)
    (folder / "in").write_text("given\n")

    def do(*asked, first=""):
        lines = [first]
        for number, (is_asked, *words) in enumerate(asked):
            environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": "/root", "TZ": "XYZ-3"}
            request = {
                "python": sys.executable,
                "words": [sys.executable, str(script), *words],
                "environment": {**environment, "PWD": str(folder)},
                "path": [str(folder)],
            }
            (folder / f"request{number}").write_text(json.dumps(request))
            lines.append(
                LINE.format(
                    variables=" ".join(f"{name}='{value}'" for name, value in environment.items()),
                    folder=folder,
                    number=number,
                    ask=f'ask "$(cat {folder}/request{number})"' if is_asked else "",
                    words=" ".join([str(script), *words]),
                )
            )
        text = SCRIPT.format(
            python=sys.executable, before=folder, ask=ASK, lines="\n".join(filter(None, lines))
        )
        words = [*NAMESPACES, "env", "-i", "busybox", "sh", "-c", text]
        ran = subprocess.run(words, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        read = [
            [(folder / f"{name}{number}").read_text() for name in ("status", "out", "err")]
            for number in range(len(asked))
        ]
        return [(int(status), out, err) for status, out, err in read]

    return do


@with_namespaces
def test_a_child_is_as_a_process_that_was_executed(done):
    (status, out, err), (_, fresh, _) = done((True, "facts"), (False, "facts"))
    assert (status, err) == (0, "")
    seen, expected = json.loads(out), json.loads(fresh)
    for facts in (seen, expected):  # each has files of its own
        facts["files"] = [file.rstrip("0123456789") for file in facts["files"]]
    assert seen == expected
    assert "record" not in out


@with_namespaces
def test_its_end_and_its_streams_are_those_of_the_words(done):
    words = (["exit", "7"], ["kill", "9"], ["kill", "15"], ["fail"], ["read"], ["exit", "0"])
    asked = [done_ for each in words for done_ in ((True, *each), (False, *each))]
    results = done(*asked)
    for seen, fresh, each in zip(results[::2], results[1::2], words, strict=True):
        assert seen[:2] == fresh[:2], each
        assert seen[2].splitlines()[-1:] == fresh[2].splitlines()[-1:], each
    assert [status for status, _, _ in results[::2]] == [7, 137, 143, 1, 0, 0]
    assert results[8][1] == "GIVEN\n"


@with_namespaces
def test_two_children_have_other_random_numbers(done):
    results = done((True, "random"), (True, "random"))
    numbers = [number for _, out, _ in results for number in out.split()]
    assert len({*numbers}) == 4


@with_namespaces
def test_words_are_executed_if_nothing_waits(done):
    """As after `kill -9 -1` by a command before."""
    gone = 'kill -9 "$(cat python.pid)"; wait'
    ((status, out, err),) = done((True, "exit", "5"), first=gone)
    assert (status, out, err) == (5, "record executed\nnot flushed\n", "")
    ((status, out, _),) = done((True, "facts"), first=f"{gone}; rm python.pid")
    executed, facts = out.splitlines()
    assert (status, executed) == (0, "record executed")
    assert json.loads(facts)["descriptors"] == ["0", "1", "2"]


PREPARE = """
import json, os, platform, sys, tempfile, threading
opened, started = [], []
def hook(event, given):
    if event == "open" and isinstance(given[0], str) and ".pyc" not in given[0]:
        opened.append(given[0])
    elif event.startswith(("subprocess", "os.fork", "os.posix_spawn", "socket", "os.putenv")):
        started.append(event)
umask = os.umask(0o77)
os.umask(umask)
environment, streams, path = dict(os.environ), (sys.stdout, sys.stderr), [*sys.path]
sys.addaudithook(hook)
from oomctl.lab import waiting
waiting.prepare()
from oomctl import console
print(json.dumps({
    "opened": [file for file in opened if not file.endswith((".py", ".so"))],
    "started": started,
    "descriptors": len(os.listdir("/proc/self/fd")) - 1,
    "threads": threading.active_count(),
    "umask": umask == os.umask(0),
    "environment": environment == dict(os.environ),
    "streams": streams == (sys.stdout, sys.stderr),
    "path": path == sys.path,
    "uname": platform._uname_cache,
    "temporary": tempfile.tempdir,
    "console": [console.verbose(), console._is_quiet, console._shows_steps, console._bar],
}))
"""


def test_preparing_leaves_nothing_that_a_child_could_inherit():
    done = subprocess.run(
        [sys.executable, "-c", PREPARE], env={"HOME": "/root"}, capture_output=True, check=True
    )
    seen = json.loads(done.stdout)
    foreign = {file for file in seen.pop("opened") if "/lib/python" not in file}
    of_a_plan = {"/proc/meminfo", "/proc/self/mounts", "/proc/self/fd/3"}
    assert foreign <= {"/proc/stat", str(resources.examples()[0]), *of_a_plan}
    assert seen == {
        **dict.fromkeys(("umask", "environment", "streams", "path"), True),
        "started": [],
        "descriptors": 3,
        "threads": 1,
        "uname": None,
        "temporary": None,
        "console": [False, False, False, ""],
    }


def test_preparing_reads_only_these_variables(tmp_path, monkeypatch):
    """With another value of one of them, a command is executed; so none is read by many."""
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))
    read = {name for name in packed.find().variables if not name.endswith("OOMCTL_COMPLETE")}
    assert read <= {
        *("HOME", "PYTHONUSERBASE", "PYTHONTZPATH", "_PYTHON_PROJECT_BASE"),
        *("_PYTHON_SYSCONFIGDATA_NAME", "PSUTIL_DEBUG", "TYPER_USE_RICH"),
        *("PYDANTIC_DISABLE_PLUGINS", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"),
    }
