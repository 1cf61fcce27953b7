"""No option is ignored: with it a command does something else, or refuses it with exit code 2.

The first lines of each command do nothing but print: there every option has to count. The others
may share the work: an option counts if it does for one of them.
"""

import os
import re
import shlex
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from oomctl.bpf import btf
from oomctl.cli import app, guest
from oomctl.errors import OomctlError
from oomctl.lab import fitness
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.source import Source
from oomctl.lab.vm import Ending
from oomctl.oom.counts import KillCounts
from oomctl.oom.kill import OomKill
from oomctl.oom.prediction import Candidates
from tests.cli.command import run
from tests.cli.conftest import RANKING
from tests.cli.test_predict import PAGE, TASKS
from tests.corpus import compose
from tests.elf import elf_file
from tests.machine import V3
from tests.outcomes import DEFAULT_RUN, ENVIRONMENT, OUTCOMES
from tests.rounds import alone
from tests.unit.fuzz.fake_kernel import FakeBench
from tests.unit.lab.test_guest_suite import lines
from tests.unit.smoke.fake_suite import CASES, HERE, FakeRunner

CONFIG = {
    option: "y"
    for options in (("VMGENID",), *fitness._MACHINE.values(), *fitness._KFUNC.values())
    for option in options
}
KERNEL = Kernel("6.12", Path("/k/vmlinuz"), None, provides=True, config=CONFIG)
SOURCE = Source(Path("/s/linux.tar.xz"), "linux", "x")
PRINTING = {
    "declare": ["declare --dry-run"],
    "run": ["run s.toml --dry-run"],
    "smoke": ["smoke --list"],
    "lab smoke": ["lab smoke --list"],
    "lab run": ["lab run --dry-run {} x"],
    "examples": ["examples soak", "examples --copy new"],
}
DOING = {
    "declare": ["declare", "declare --global"],
    "run": ["run s.toml", "run s.toml --repeat 2"],
    "report": ["report r.jsonl"],
    "compare": ["compare r.jsonl r.jsonl"],
    "predict": ["predict --global"],
    "explain": ["explain k.log"],
    "watch": ["watch --count 2 --timeout 0.01"],
    "doctor": ["doctor"],
    "clean": ["clean"],
    "smoke": ["smoke -f json", "smoke panic"],
    "fuzz": ["fuzz --rounds 2 --seed 1", "fuzz --for 0.000001s --only anon", "fuzz"],
    "lab run": ["lab run {} x"],
    "lab smoke": ["lab smoke", "lab smoke lock.busy"],
    "lab shell": ["lab shell"],
    "lab start": ["lab start"],
    "lab exec": ["lab exec {} x"],
    "lab stop": ["lab stop"],
    "lab fetch": ["lab fetch"],
    "lab status": ["lab status"],
    "lab kernels": ["lab kernels"],
    "lab build": ["lab build", "lab build --source headers"],
    "kfunc status": ["kfunc status"],
    "kfunc build": ["kfunc build"],
    "kfunc load": ["kfunc load"],
    "kfunc unload": ["kfunc unload"],
    "scenario new": ["scenario new"],
    "scenario check": ["scenario check s.toml"],
    "scenario schema": ["scenario schema"],
    "examples": ["examples"],
}
VALUES = {
    "--append": "quiet",
    "--arch": "arm64",
    "--cgroup": "/a",
    "--cpus": "3",
    "--config": "s.toml",
    "--copy": "copied",
    "--count": "1",
    "--exit-codes": "ltp",
    "--max-slowdown": "10%",
    "--disk": "64M",
    "--env": "A=b",
    "--exclude": "arguments.*",
    "--expect-console": "WARNING",
    "--findings": "2",
    "--flags": "0",
    "--flavour": "kasan",
    "--for": "1s",
    "--format": "json",
    "--forward": "2222",
    "--headers": "headers",
    "--hog": "9M",
    "--hogs": "5",
    "--idle": "1h",
    "--into": "into",
    "--jobs": "7",
    "--kernel": "vmlinuz",
    "--kill": "2",
    "--kvm": "on",
    "--memory": "1G",
    "--memory-max": "900M",
    "--module": "m.ko",
    "--name": "other",
    "--numa-nodes": "2",
    "--only": "shmem",
    "--order": "2",
    "--out": "found",
    "--output": "result",
    "--owner": "1",
    "--parent": "/a",
    "--record": "record",
    "--remove": "6.12",
    "--repeat": "3",
    "--rounds": "3",
    "--rwdir": "headers",
    "--scale": "1/2",
    "--repro": "c",
    "--scenario": "made.toml",
    "--seed": "7",
    "--set": "hog.a.count=2",
    "--since": "boot",
    "--size": "9M",
    "--source": "headers",
    "--swap": "64M",
    "--swap-max": "1M",
    "--timeout": "77s",
    "--top": "1",
    "--vary": "hog.a.size=2M,3M",
    "--via": "limit",
    "--why": "small",
    "--zram": "32M",
}
HARMLESS = {
    "--help": "prints the help",
    "--verbose": "shows more steps, if there are any",
    "--yes": "is a consent, which need not be used",
    "--no-record": "holds of itself if there is no record",
}
ELSEWHERE = {
    ("watch", "--timeout"): "test_watch.py has it",
    ("declare", "--exit-codes"): "test_exitcodes.py has it: with --dry-run it counts for faults",
    ("run", "--exit-codes"): "test_exitcodes.py has it",
}


def commands(command=None, words=()):
    command = command or typer.main.get_command(app)
    for name in getattr(command, "commands", ()):
        yield from commands(command.commands[name], (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), command


def options_of(command):
    """Return the options of a command, each with what to give it."""
    for param in command.params:
        if param.param_type_name != "option":
            continue
        name = next(each for each in (*param.secondary_opts, *param.opts) if each[:2] == "--")
        if name not in HARMLESS:
            yield name, [name] if param.is_flag else [name, VALUES[name]]


CASES_OF = [
    (name, lines_of[name], strict, option, words)
    for name, command in commands()
    for lines_of, strict in ((PRINTING, True), (DOING, False))
    if name in lines_of
    for option, words in options_of(command)
    if (name, option) not in ELSEWHERE
]


class Watch:
    """Sees one kill and then nothing."""

    no_tracing_reason, lost, overwritten = "", 0, 0

    def __init__(self, _root, _top, since_boot):
        self.earlier = [OomKill(1, 6, "old", "victim", 1 << 20)] if since_boot else []
        self.kills = [OomKill(1, 7, "hog", "victim", 1 << 20, cgroup="/b")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait(self, _seconds, _urgent=()):
        return []

    def poll(self):
        kills, self.kills = self.kills, []
        return kills

    def counts(self):
        return KillCounts({})


@pytest.fixture
def done(machine, any_machine, monkeypatch, tmp_path):
    """What commands hand to the machine, the kernel and the guest; here are the files they read."""
    made = []

    class Session:
        environment = ENVIRONMENT

        def __init__(self, _root, _kfunc, confirm, parent=None):
            self.confirm = confirm

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def keep_tree(self, plan):
            made.append(("keep_tree", plan))
            return nullcontext()

        def run(self, plan):
            made.append(("run", plan))
            if plan.system_wide:
                self.confirm(RANKING)
            return OUTCOMES["refused"] if len(made) == 3 else DEFAULT_RUN

    class CaseRunner(FakeRunner):
        environment = ENVIRONMENT

        def __init__(self, _root, kfunc, disposable, expected):
            made.append(("expected", tuple(expected)))
            super().__init__(replace(HERE, kfunc=kfunc, disposable=disposable))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def boot(machine, job, timeout, out, err):
        made.append(("boot", machine, job, timeout, isinstance(err, int)))
        if "lock.busy" in job.words[-1:]:
            raise OomctlError("QEMU did not start")
        names = [name for name in job.words if name in {case.name for case in CASES}]
        if names:
            out(lines(names))
        return Ending(0, False, 1.0, 2.0, "")

    def edge(name, answer=None):
        return lambda *given: made.append((name, *given)) or answer

    host = guest.Host(KERNEL, False, None, False)
    for target, function in {
        "oomctl.experiment.session.Session": Session,
        "oomctl.cli.run.Session": Session,
        "oomctl.cli.watch.OomWatch": Watch,
        "oomctl.cli.doctor.Machine": any_machine,
        "oomctl.cli.clean.clean_up": lambda really: made.append(("clean", really)) or [],
        "oomctl.cli.predict.read_candidates": lambda node, _root: Candidates(
            TASKS, 5000, PAGE, frozenset({"/t"})
        ),
        "oomctl.cli.guest.ready": lambda *given: made.append(given) or nullcontext(host),
        "oomctl.cli.guest.outputs": lambda: (1, 2),
        "oomctl.experiment.environment.require_host": lambda: None,
        "oomctl.smoke.runner.CaseRunner": CaseRunner,
        "oomctl.smoke.suite.cases": lambda: CASES,
        "oomctl.cli.fuzz.Bench": FakeBench,
        "oomctl.kmod.module.build": edge("build", Path("built")),
        "oomctl.kmod.module.load": edge("load"),
        "oomctl.kmod.module.unload": edge("unload"),
        "oomctl.kmod.module.loaded": lambda: False,
        "oomctl.kmod.module.require_modules": lambda: None,
        "oomctl.cli.kfunc.require_kfunc": lambda: V3,
        "oomctl.lab.source.newest": lambda update: made.append(("newest", update)) or SOURCE,
        "oomctl.lab.source.given": lambda path: made.append(("source", path)) or SOURCE,
        "oomctl.lab.build.require_tools": lambda: None,
        "oomctl.lab.build.build": edge("built", KERNEL),
        "oomctl.lab.vm.run": boot,
        "oomctl.lab.vm.run_once": lambda machine, job, timeout, out, err, _connect: boot(
            machine, job, timeout, out, err
        ),
        "oomctl.lab.kept_run.start": lambda *given: made.append(("start", *given)) or (1.0, ()),
        "oomctl.lab.kept_run.run": lambda *given: (
            made.append(("exec", *given)) or Ending(0, False, 1.0, 2.0, "")
        ),
        "oomctl.lab.kept.find": lambda name: made.append(("find", name)),
        "oomctl.lab.kept.stop": edge("stop"),
        "oomctl.cli.labshell.is_on_a_terminal": lambda: True,
        "oomctl.lab.terminal.size": lambda: (24, 80),
        "oomctl.lab.boot.run_virtme": lambda command: " ".join(["/bin/qemu-x", *command]),
        "oomctl.lab.tools.require": lambda *_: None,
        "oomctl.lab.tools.virtme_run": lambda: Path("/v/virtme-run"),
        "oomctl.lab.kvm.works": lambda _image: False,
        "oomctl.lab.kvm.known": lambda: False,
        "oomctl.lab.stock.chosen": edge("chosen", KERNEL),
        "oomctl.lab.stock.get": edge("get", KERNEL),
        "oomctl.lab.guest_kernel.given": edge("given", KERNEL),
        "oomctl.lab.guest_kernel.module_for": lambda _kernel: None,
    }.items():
        monkeypatch.setattr(target, function)
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    for name in ("a", "b"):
        machine.root.create_cgroup(name)
    here = tmp_path / "here"
    (here / "headers").mkdir(parents=True)
    monkeypatch.chdir(here)
    for name, data in {
        "s.toml": b"[hog.a]\nsize = 1\n[[call]]\n",
        "r.jsonl": alone().encode(),
        "k.log": (compose.HERE / "6.12-limit-dmesg.log").read_bytes(),
        "m.ko": elf_file(),
        "vmlinuz": b"",
    }.items():
        Path(name).write_bytes(data)
    return made


def what(done, monkeypatch, line, words=()):
    """Return all that a command line comes to, without what differs each time."""
    done.clear()
    before = {path.name for path in Path().iterdir()}
    if line.startswith("kfunc"):
        monkeypatch.setattr(btf, "find_kfunc", lambda: None)
    base = shlex.split(line.replace("{}", shlex.join(words)))
    result = run(*base, *(words if "{}" not in line else ()))
    assert isinstance(result.exception, SystemExit | None), result.exception
    files = sorted(path.name for path in Path().iterdir() if path.name not in before)
    for name in files:
        (shutil.rmtree if Path(name).is_dir() else os.unlink)(name)
    text = f"{result.exit_code} {result.stdout} {done} {files}"
    text = re.sub(r"oomctl-[\w-]*?\d+-[0-9a-f]{6}", "oomctl-X", text)
    text = re.sub(r"\d\d:\d\d:\d\d\S*|[\d.]+ ?(?:us|ms|s)\b|oomctl-s-\S+", "T", text)
    return text, result


@pytest.mark.parametrize(
    ("name", "lines_of", "strict", "option", "words"),
    CASES_OF,
    ids=[
        f"{'prints' if strict else 'does'} {name} {option}"
        for name, _, strict, option, _ in CASES_OF
    ],
)
def test_every_option_counts(done, monkeypatch, name, lines_of, strict, option, words):
    ignored = []
    for line in lines_of:
        if option in line:
            continue
        without, _ = what(done, monkeypatch, line)
        given, result = what(done, monkeypatch, line, words)
        refused = result.exit_code in (2, 125) and len(result.stderr.splitlines()) == 1
        if given == without and not refused:
            ignored.append(line)
    assert ignored == [] if strict else len(ignored) < len(lines_of) or ignored == []
