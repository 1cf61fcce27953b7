"""`oomctl lab` without a machine booted: options, refusals, exit codes."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oomctl import cache
from oomctl.cli import app, guest
from oomctl.cli.output import Output
from oomctl.errors import OomctlError, UnsupportedError
from oomctl.lab import (
    apt,
    architecture,
    boot,
    build,
    cached,
    guest_kernel,
    guest_root,
    kept,
    kept_run,
    kvm,
    source,
    stock,
    tools,
    vm,
)
from oomctl.lab.cached import Flavour
from oomctl.lab.guest_kernel import Kernel
from oomctl.lab.kept import Record
from oomctl.lab.vm import Ending
from oomctl.oom.enums import FaultKind
from oomctl.oom.faults import Fault
from oomctl.proc import programs
from tests.elf import elf_file, module_file
from tests.rounds import alone
from tests.schemas import validator
from tests.unit.lab.fake_tree import fake_tree
from tests.unit.lab.images import BUILT_IN, FIT, bzimage, compressed, vmlinux

KERNEL = Kernel("6.12", Path("/k/vmlinuz"), None, provides=True)


@pytest.fixture(autouse=True)
def nothing_boots(monkeypatch, tmp_path):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tools, "require", lambda _guest=None: None)
    monkeypatch.setattr(tools, "virtme_run", lambda: Path("/v/virtme-run"))
    monkeypatch.setattr(kvm, "works", lambda image: False)
    monkeypatch.setattr(kvm, "known", lambda: False)
    monkeypatch.setattr(stock, "chosen", lambda _arch="": KERNEL)


@pytest.fixture
def boots(monkeypatch):
    """Take what would be booted; answer with the ending that the test sets."""
    seen = []
    endings = [Ending(0, False, 2.0, 3.0, "")]

    def run(machine, job, timeout, out, err):
        seen.append((machine, job, timeout))
        return endings[-1]

    monkeypatch.setattr(vm, "run", run)
    # typer's runner has no descriptors behind its streams.
    monkeypatch.setattr(guest, "outputs", lambda: (1, 2))
    seen.append(endings)
    return seen


def invoke(*words):
    return CliRunner().invoke(app, ["lab", *words])


@pytest.mark.parametrize("status", [0, 1, 42, 137, 255])
def test_the_commands_status_is_ours(boots, status):
    boots[0].append(Ending(status, False, 2.0, 3.0, ""))
    assert invoke("run", "--", "x").exit_code == status


def test_timeout_says_what_was_going_on(boots):
    boots[0].append(Ending(None, True, 2.0, 9.0, ""))
    done = invoke("run", "--timeout", "9", "--", "x")
    assert done.exit_code == 124
    assert "timeout of 9s" in done.stderr
    assert "--timeout TIME gives it longer" in done.stderr
    assert "running" in done.stderr
    boots[0].append(Ending(None, True, None, 9.0, "stuck here\n"))
    done = invoke("run", "--", "x")
    assert "still booting" in done.stderr
    assert "stuck here" in done.stderr


def test_panic_shows_the_end_of_the_console(boots):
    lines = [f"line {n}" for n in range(200)] + ["Kernel panic - not syncing: oops", "end"]
    boots[0].append(Ending(None, False, 2.0, 3.0, "\n".join(lines)))
    done = invoke("run", "--", "x")
    assert done.exit_code == 125
    assert "panicked: oops" in done.stderr
    assert "line 199" in done.stderr
    assert "line 5\n" not in done.stderr


def test_guest_that_vanished(boots):
    boots[0].append(Ending(None, False, 2.0, 3.0, "", "its QEMU was killed by SIGKILL"))
    done = invoke("run", "--", "x")
    assert done.exit_code == 125
    assert "vanished: its QEMU was killed by SIGKILL" in done.stderr


@pytest.mark.parametrize(
    ("console", "said"),
    [
        (
            "",
            "the guest's kernel printed nothing, and it was switched off; its image may be damaged",
        ),
        ("Linux version", "the guest vanished before the command began: it was switched off"),
    ],
)
def test_guest_that_did_not_come_up(boots, console, said):
    boots[0].append(Ending(None, False, None, 3.0, console, "it was switched off"))
    done = invoke("run", "--", "x")
    assert done.exit_code == 125
    assert done.stderr.startswith(f"oomctl: {said}\n")


WARN = Fault(FaultKind.WARN, ("WARNING: CPU: 0 PID: 1 at mm/x.c:1 f", "Call Trace:"))
PANIC = Fault(FaultKind.PANIC, ("Kernel panic - not syncing: sysrq",))


@pytest.mark.parametrize(
    ("status", "faults", "expected", "code"),
    [
        (0, (), (), 0),
        (0, (WARN,), (), 123),
        (5, (WARN,), (), 123),
        (0, (WARN,), ("mm/x.c",), 0),
        (5, (WARN,), ("Call Trace",), 5),
        (0, (), ("never",), 123),
        (None, (PANIC,), (), 125),
        (None, (PANIC,), ("not syncing: sysrq",), 0),
        (None, (PANIC, WARN), ("not syncing: sysrq",), 125),
        (None, (WARN,), ("WARNING",), 125),
    ],
)
def test_a_fault_of_the_kernel_is_a_failure_unless_it_is_expected(
    boots, status, faults, expected, code
):
    boots[0].append(Ending(status, False, 2.0, 3.0, "", "", faults))
    words = [word for text in expected for word in ("--expect-console", text)]
    done = invoke("run", *words, "--", "x")
    assert done.exit_code == code
    if code == 123 and faults:
        ended = f"(COMMAND ended with status {status})"
        assert done.stderr == (
            f"oomctl: kernel-fault: warn: {WARN.lines[0]} {ended}\n"
            f"  {WARN.lines[0]}\n  Call Trace:\n"
        )


def test_the_machine_is_as_asked(boots):
    words = "--disk 1G --swap 64M --numa-nodes 2 --append hugepages=8 --append quiet --forward 22"
    assert invoke("run", *words.split(), "--", "x").exit_code == 0
    machine = boots[-1][0]
    assert (machine.scratch, machine.swap, machine.nodes) == (1 << 30, 64 << 20, 2)
    assert (machine.append, machine.forward) == (("hugepages=8", "quiet"), 22)


def test_status_of_a_damaged_kernel(monkeypatch):
    def damaged(_arch=""):
        raise UnsupportedError("the lab's kernel is damaged: x", "`oomctl lab fetch` fetches it")

    monkeypatch.setattr(stock, "chosen", damaged)
    said = invoke("status").stdout
    assert "kernel    the lab's kernel is damaged: x; `oomctl lab fetch` fetches it\n" in said
    assert "module" not in said


def test_words_after_the_dashes_and_after_the_command_are_its_own(boots):
    assert invoke("run", "--cpus", "3", "--", "sh", "-c", "exit 1", "--memory").exit_code == 0
    machine, job, _ = boots[-1]
    assert job.words == ("sh", "-c", "exit 1", "--memory")
    assert (machine.cpus, machine.memory_mib) == (3, 2048)
    invoke("run", "ls", "-la")
    assert boots[-1][1].words == ("ls", "-la")


def test_environment_of_the_command(boots, monkeypatch):
    monkeypatch.setenv("OOMCTL_KERNEL_TESTS", "1")
    monkeypatch.setenv("SECRET", "no")
    monkeypatch.setenv("TERM", "vt100")
    monkeypatch.setenv("PASS", "as it is")
    invoke("run", "--env", "A=b=c", "--env", "PASS", "--env", "EMPTY=", "--", "x")
    environment = boots[-1][1].environment
    assert "SECRET" not in environment
    assert environment["A"] == "b=c"
    assert environment["PASS"] == "as it is"
    assert environment["EMPTY"] == ""
    assert environment["TERM"] == "vt100"
    assert environment["OOMCTL_KERNEL_TESTS"] == "1"
    assert environment["PATH"].endswith(":/bin")


def test_folder_is_the_callers(boots, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    invoke("run", "--", "x")
    assert boots[-1][1].cwd == str(tmp_path)


def test_no_kfunc_builds_no_module(boots, monkeypatch):
    monkeypatch.setattr(guest_kernel, "module_for", lambda kernel: pytest.fail("built"))
    assert invoke("run", "--no-kfunc", "--", "x").exit_code == 0
    assert boots[-1][1].module is None


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--memory", "64Q", "--", "x"], "'64Q' is not a size"),
        (["--memory", "1M", "--", "x"], "too small"),
        (["--timeout", "0", "--", "x"], "'--timeout': 0 is out of range; it goes from 1s to"),
        (["--timeout", "-1", "--", "x"], "'--timeout': '-1' is not a time"),
        (["--timeout", "nan", "--", "x"], "'--timeout': 'nan' is not a time"),
        (["--timeout", "inf", "--", "x"], "'--timeout': 'inf' is not a time"),
        (["--env", "NOT_SET_ANYWHERE", "--", "x"], "not set here"),
        (["--env", "A B=c", "--", "x"], "is not the name of a variable"),
        (["--env", "=c", "--", "x"], "is not the name of a variable"),
        (["--rwdir", "/does/not/exist", "--", "x"], "not a folder"),
        (["--kernel", "/does/not/exist", "--", "x"], "does not exist"),
        (["--", ""], "empty"),
        (["--cpus", "0", "--", "x"], "--cpus"),
        (["--numa-nodes", "0", "--", "x"], "--numa-nodes"),
        (["--numa-nodes", "64", "--", "x"], "less than 64M of --memory for each"),
        (["--disk", "1K", "--", "x"], "it goes from 16M to 1024G"),
        (["--swap", "2000G", "--", "x"], "it goes from 16M to 1024G"),
        (["--append", "a\nb", "--", "x"], "is not a word of a kernel command line"),
        (["--append", "", "--", "x"], "is empty"),
        (["--append", " ", "--", "x"], "is not a word of a kernel command line"),
        (["--expect-console", "(", "--", "x"], "'(' is not a regular expression"),
        (["--kvm", "maybe", "--", "x"], "--kvm"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage_is_one_line_and_2(words, why):
    done = invoke("run", *words)
    assert done.exit_code == 2
    assert why in done.stderr
    assert "Traceback" not in done.output


def test_missing_programs_are_named_with_the_command_that_brings_them(monkeypatch):
    def missing(_guest):
        raise UnsupportedError("the lab needs kmod, not on this machine", "apt install kmod")

    monkeypatch.setattr(tools, "require", missing)
    done = invoke("run", "--", "x")
    assert done.exit_code == 3
    assert "apt install kmod" in done.stderr


def test_require_names_all_that_is_missing(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(tools, "virtme_run", lambda: Path("/v/virtme-run"))
    monkeypatch.setattr(tools.programs, "which", lambda name: None)
    with pytest.raises(UnsupportedError) as error:
        tools.require()
    for package in ("busybox-static", "file", "kmod", "qemu-system"):
        assert package in error.value.hint


def test_without_virtme_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(tools.programs, "which", lambda name: None)
    with pytest.raises(UnsupportedError) as error:
        tools.virtme_run()
    assert error.value.hint == "pip install 'oomctl[lab]'"


def test_dry_run_prints_commands_a_shell_can_read(monkeypatch):
    monkeypatch.setattr(vm, "run", lambda *_: pytest.fail("booted"))
    monkeypatch.setattr(boot, "run_virtme", lambda command: "/bin/qemu-x -m 1\n")
    done = invoke("run", "--dry-run", "--", "x")
    assert done.exit_code == 0
    made, booted = (shlex.split(line) for line in done.stdout.splitlines() if line[0] != "#")
    assert (made[0], booted[0]) == ("/v/virtme-run", "/bin/qemu-x")
    assert "-append" in booted


def test_dry_run_fetches_nothing(monkeypatch):
    monkeypatch.setattr(stock, "chosen", lambda _arch="": None)
    monkeypatch.setattr(stock, "get", lambda *_: pytest.fail("fetched"))
    done = invoke("run", "--dry-run", "--", "x")
    assert done.exit_code == 2
    assert "oomctl lab fetch" in done.stderr


def test_status_fits_a_terminal(monkeypatch):
    image = Path("/k", "a" * 90, "vmlinuz")
    monkeypatch.setattr(
        stock, "chosen", lambda _arch="": Kernel("6.12", image, None, provides=True)
    )
    monkeypatch.setattr(Output, "width", 80)
    lines = invoke("status").stdout.splitlines()
    assert max(map(len, lines)) == 80
    assert str(image) in "".join(line.strip() for line in lines)


def test_status_without_a_kernel(monkeypatch):
    monkeypatch.setattr(stock, "chosen", lambda _arch="": None)
    monkeypatch.setattr(kvm, "known", lambda: None)
    done = invoke("status")
    assert done.exit_code == 0
    assert "none yet" in done.stdout
    assert "not probed" in done.stdout


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


def test_help_documents_the_exit_statuses():
    text = invoke("run", "--help").stdout
    for status in ("124", "125", "127", "128+N"):
        assert status in text


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Files that --kernel may name; the stock kernel is one of them."""
    gz = "gzip"
    fit = compressed(vmlinux(), gz)
    bzimage(tmp_path / "fit", payload=fit)
    for name, config in (
        ("no-memcg", BUILT_IN.replace("CONFIG_MEMCG=y", "")),
        ("no-9p", BUILT_IN.replace("CONFIG_9P_FS=y", "")),
        ("no-virtio", BUILT_IN.replace("CONFIG_VIRTIO_PCI=y", "")),
        ("no-bpf", BUILT_IN.replace("CONFIG_BPF_SYSCALL=y", "")),
        ("modular", FIT),
    ):
        bzimage(tmp_path / name, "7.3.4", payload=compressed(vmlinux(config), gz))
    bzimage(tmp_path / "no-btf", payload=compressed(vmlinux(None, btf=False), gz))
    bzimage(tmp_path / "old", "6.1.0", payload=compressed(vmlinux(kfunc=False), gz))
    bzimage(tmp_path / "cut", payload=fit, pages=9)
    os.truncate(tmp_path / "cut", 0x5000)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "nothing-in-it").mkdir()
    (tmp_path / "other.ko").write_bytes(module_file("6.1.0"))
    (tmp_path / "text.ko").write_bytes(elf_file("x"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vm, "run", lambda *_: pytest.fail("booted"))
    return tmp_path


@pytest.mark.parametrize("command", [["run", "--", "true"], ["run", "--dry-run", "--", "true"]])
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--kernel", "no-memcg"], 3, "is built without CONFIG_MEMCG (for memory cgroups)"),
        (["--kernel", "no-9p"], 3, "is built without CONFIG_9P_FS (for this machine's files)"),
        (["--kernel", "no-virtio"], 3, "is built without CONFIG_VIRTIO_PCI (for its machine)"),
        (["--kernel", "no-bpf"], 3, "is built without CONFIG_BPF_SYSCALL (for BPF programs)"),
        (["--kernel", "modular"], 3, "CONFIG_OVERLAY_FS in modules, and there are no modules"),
        (["--kernel", "no-btf"], 3, "has no BTF, by which programs find the kfunc"),
        (["--kernel", "old"], 3, "is too old: it has no bpf_out_of_memory(), and Linux 6.12 is"),
        (["--kernel", "cut"], 2, "is truncated: it has 20480 bytes, its header says"),
        (["--kernel", "text"], 2, "is not a bootable kernel image: it has no kernel header"),
        (["--kernel", "nothing-in-it"], 2, "contains no kernel image"),
        (["--kernel", "missing"], 2, "--kernel: missing does not exist; give stock, reference"),
        (["--kernel", "reference"], 2, "--kernel reference: none was built yet"),
        (["--kernel", "fit", "--module", "other.ko"], 2, "was built for 6.1.0, and the kernel is"),
        (["--kernel", "fit", "--module", "text.ko"], 2, "text.ko is not a kernel module"),
        (["--kernel", "fit", "--module", "/etc/passwd"], 2, "is not a kernel module"),
    ],
)
def test_a_kernel_or_module_that_is_not_fit(given, command, words, status, said):
    name, *rest = command
    done = invoke(name, *words, *rest)
    assert (done.exit_code, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    assert said in line


def test_a_configuration_that_cannot_be_read_is_said(boots, tmp_path):
    bzimage(tmp_path / "bare", payload=compressed(vmlinux(None), "gzip"))
    done = invoke("run", "--kernel", str(tmp_path / "bare"), "--", "true")
    assert done.exit_code == 0
    assert f"cannot read the configuration of {tmp_path}/bare: it has none in it" in done.stderr


@pytest.fixture
def cached_kernels(tmp_path):
    for name, kfunc in (("7.3.4-oomctl", True), ("6.12.95", False)):
        home = cached.home(name)
        payload = compressed(vmlinux(kfunc=kfunc), "gzip")
        bzimage(home / f"boot/vmlinuz-{name}", name, payload=payload)
        cached.stamp(home, Flavour.PLAIN if kfunc else Flavour.DEBIAN)
        os.utime(home, (0, 0 if kfunc else 86400))
    cached.home("broken").mkdir()
    os.utime(cached.home("broken"), (0, -86400))


def test_kernels_are_listed(cached_kernels):
    with cache.in_use(cached.home("6.12.95")):
        told = json.loads(invoke("kernels", "-f", "json").stdout)
        validator("lab-schema.json").validate(told)
        listed = told["kernels"]
        table = invoke("kernels").stdout.splitlines()
    assert [list(each.values())[:-2] for each in listed] == [
        ["6.12.95", "debian", True, "6.12.95", "none", None],
        ["7.3.4-oomctl", "plain", False, "7.3.4-oomctl", "built in", None],
        ["broken", "stock", False, None, None, f"{cached.home('broken')} contains no kernel image"],
    ]
    assert [each["last_used"][:10] for each in listed[:2]] == ["1970-01-02", "1970-01-01"]
    assert all(each["size_bytes"] > 20000 for each in listed[:2])
    assert [line.split()[0] for line in table[2:5]] == ["6.12.95", "7.3.4-oomctl", "broken"]
    assert table[2].endswith("in use")


def test_kernels_are_removed_unless_in_use(cached_kernels):
    done = invoke("kernels", "--remove", "broken", "--remove", "6.1")
    said = "--remove 6.1: the cache has no such kernel; it has 6.12.95, 7.3.4-oomctl, broken"
    assert (done.exit_code, done.stderr) == (2, f"oomctl: {said}\n")
    with cache.in_use(cached.home("6.12.95")):
        done = invoke("kernels", "--remove", "6.12.95")
        assert (done.exit_code, done.stderr) == (
            4,
            "oomctl: another oomctl uses 6.12.95; end it first\n",
        )
    assert invoke("kernels", "--remove", "6.12.95", "--remove", "broken").exit_code == 0
    assert cached.names() == ["7.3.4-oomctl"]


def test_an_empty_cache_is_told():
    assert invoke("kernels").stdout == "no kernels yet: oomctl lab fetch, or oomctl lab build\n"
    assert json.loads(invoke("kernels", "-f", "json").stdout)["kernels"] == []


def test_a_machine_that_cannot_build_fetches_nothing(monkeypatch):
    monkeypatch.setattr(programs, "which", lambda _name: None)
    monkeypatch.setattr(source, "newest", lambda _update: pytest.fail("a source is fetched"))
    done = invoke("build")
    assert done.exit_code == 3
    assert "to build a kernel this machine lacks" in done.stderr


def test_a_kernel_is_built_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "require_tools", lambda: None)
    done = invoke("build", "--source", str(fake_tree(tmp_path / "linux")), "--jobs", "1")
    assert done.exit_code == 0, done.stderr
    name, _objects = cached.names()
    assert done.stdout.startswith(f"{name} is ready, after ")
    assert name.startswith("9.9-mine-")
    assert "building linux" not in done.stdout
    rows = [line.split() for line in invoke("kernels").stdout.splitlines()[2:]]
    assert [name, "plain", "built", "in"] in [row[:4] for row in rows]
    (objects,) = [row[0] for row in rows if row[1:3] == ["objects", "-"]]
    assert invoke("kernels", "--remove", objects).exit_code == 0
    assert cached.names() == [name]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--source", "missing"], "--source: missing does not exist"),
        (["--source", "text"], "cannot unpack"),
        (["--source", "nothing-in-it"], "is not a kernel source tree: it has no Makefile"),
        (["--source", "linux", "--config", "missing"], "--config missing: No such file"),
        (["--source", "linux", "--config", "fit"], "--config fit: it is not text"),
        (["--flavour", "fast"], "--flavour"),
        (["--jobs", "0"], "--jobs"),
        (["--source", "linux", "--update"], "--update is for Debian's source, not for --source"),
    ],
)
def test_what_cannot_be_built_is_one_line_and_2(given, monkeypatch, words, why):
    monkeypatch.setattr(build, "require_tools", lambda: None)
    fake_tree(given / "linux")
    done = invoke("build", *words)
    (line,) = [line for line in done.stderr.splitlines() if not line.endswith(words[-1])]
    assert done.exit_code == 2
    assert why in line
    assert not [*cached.home().glob("*/")]


def test_a_command_on_several_kernels(boots, tmp_path):
    for name in ("a", "b"):
        bzimage(tmp_path / name, f"6.12-{name}", payload=compressed(vmlinux(), "gzip"))
    boots[0].insert(1, Ending(3, False, 2.0, 3.0, ""))
    words = [word for name in ("a", "b") for word in ("--kernel", str(tmp_path / name))]
    done = invoke("run", *words, "--", "true", "{kernel}.json")
    assert done.exit_code == 3
    assert f"on {tmp_path}/a: Linux 6.12-a" in done.stderr
    assert f"status 3 on {tmp_path}/a, 3 on {tmp_path}/b" in done.stderr
    assert [job.words[1][-7:] for _machine, job, _timeout in boots[1:]] == ["_a.json", "_b.json"]
    done = invoke("run", "--dry-run", *words, "--", "true")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "2 kernels are given, and this boots one guest; give --kernel once" in done.stderr


@pytest.fixture
def two_records(given, monkeypatch):
    """Guests of two kernels that leave these records: text, or an ending without a record."""
    left = []

    def run(machine, job, timeout, out, err):
        out(b"the guest's own table\n")
        assert job.words[:3] == ("oomctl", "run", "--record")
        record = Path(job.words[3])
        assert record.parent in machine.rwdirs
        text = left.pop(0)
        if isinstance(text, str):
            record.write_text(text)
            return Ending(0, False, 2.0, 3.0, "")
        if isinstance(text, OomctlError):
            raise text
        return text

    monkeypatch.setattr(vm, "run", run)
    monkeypatch.setattr(guest, "outputs", lambda: (1, 2))
    return left


TWO = ("run", "--kernel", "fit", "--kernel", "fit")
RUN = ("--", "oomctl", "run", "x.toml", "--repeat", "3")


def test_rounds_on_several_kernels_are_one_comparison(two_records):
    two_records += [alone(), alone()]
    done = invoke(*TWO, *RUN)
    assert done.exit_code == 0, done.stderr
    assert "kernel    fit: Linux" in done.stdout
    assert "kernel    fit (2): Linux" in done.stdout
    assert "same" in done.stdout
    assert "verdict busy" in done.stdout
    assert "in_the_call, p50" in done.stdout
    assert "own table" not in done.stdout
    assert not [*cache.place("scratch").glob("*/")]


def test_kernels_that_differ_are_told_apart_by_name_and_reason(two_records):
    other = alone().replace('"verdict": "busy"', '"verdict": "killed"')
    two_records += [alone(), other]
    done = invoke(*TWO, *RUN)
    assert re.search(r"differs +busy: verdict \S+ .* on fit \(2\)", done.stdout), done.stdout
    two_records += [alone(), other]
    told = json.loads(invoke(*TWO, "-f", "json", *RUN).stdout)
    validator("run-schema.json", "#/$defs/kernels").validate(told)
    assert [len(one["runs"][0]["rounds"]) > 0 for one in told["kernels"]] == [True, True]
    assert {each["kernel"] for each in told["differences"]} == {"fit (2)"}


def test_a_kernel_that_dies_does_not_end_a_comparison(two_records):
    two_records += [Ending(None, False, None, 3.0, "Kernel panic - not syncing: x"), alone()]
    done = invoke(*TWO, *RUN)
    assert done.exit_code == 125
    assert "error     fit: the command ended with status 125, without a round" in done.stdout
    two_records += [alone(), OomctlError("QEMU did not start")]
    done = invoke(*TWO, "-f", "json", *RUN)
    assert done.exit_code == 4
    told = json.loads(done.stdout)
    validator("run-schema.json", "#/$defs/kernels").validate(told)
    assert told["kernels"][1] | {"runs": []} == {
        "kernel": "fit (2)",
        "status": None,
        "error": "QEMU did not start",
        "runs": [],
    }


@pytest.mark.parametrize(
    "words",
    [
        ("--kernel", "fit", "-f", "json", *RUN),
        (*TWO[1:], "-f", "json", "--", "oomctl", "smoke"),
        (*TWO[1:], "-o", "x.json", *RUN, "--format", "junit"),
    ],
)
def test_a_form_is_for_a_comparison(given, words):
    done = invoke("run", *words)
    assert done.exit_code == 2
    assert "--format and --output are for a comparison of several kernels" in done.stderr


def test_status_as_json(given, monkeypatch):
    monkeypatch.setattr(stock, "chosen", lambda _arch="": None)
    told = json.loads(invoke("status", "-f", "json").stdout)
    validator("lab-schema.json", "#/$defs/status").validate(told)
    assert told["kernel"] is None
    assert told["no_kernel_reason"] == "none yet: oomctl lab fetch"


def test_records_of_several_kernels_are_compared(boots, given, monkeypatch):
    def run(machine, job, timeout, out, err):
        Path(job.words[-1]).write_text(alone())
        return Ending(0, False, 2.0, 3.0, "")

    monkeypatch.setattr(vm, "run", run)
    words = ["--kernel", "fit", "--kernel", "fit", "--rwdir", ".", "--", "oomctl", "run", "x.toml"]
    done = invoke("run", *words, "--record", "{kernel}.jsonl")
    assert done.exit_code == 0, done.stderr
    assert "A         fit.jsonl: Linux" in done.stdout
    assert "B         fit__2_.jsonl: Linux" in done.stdout
    assert "unchanged" in done.stdout


def test_all_kernels_are_looked_at_before_the_first_boot(given):
    done = invoke("run", "--kernel", "fit", "--kernel", "no-memcg", "--", "true")
    assert done.exit_code == 3
    assert "no-memcg" in done.stderr


def test_a_guest_of_another_architecture_is_not_kept(monkeypatch):
    monkeypatch.setattr(architecture.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(stock, "get", lambda *_: pytest.fail("fetched"))
    done = invoke("start", "--arch", "arm64")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "a guest that is kept has this machine's architecture; lab run and" in done.stderr


def test_a_dry_run_for_another_architecture(monkeypatch, tmp_path):
    monkeypatch.setattr(architecture.platform, "machine", lambda: "x86_64")
    kernel = Kernel("6.12-arm64", Path("/k/vmlinuz"), None, True, architecture=architecture.ARM)
    monkeypatch.setattr(stock, "chosen", lambda _arch: kernel)
    monkeypatch.setattr(apt, "machine_codename", lambda: "bookworm")
    words = ["run", "--arch", "arm64", "--dry-run", "--", "x"]
    refused = invoke(*words)
    assert refused.exit_code == 2
    assert "was not fetched yet; oomctl lab fetch --arch arm64" in refused.stderr
    root = guest_root._home(architecture.ARM)
    root.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(boot, "run_virtme", lambda command: "/bin/qemu-system-aarch64\n")
    done = invoke(*words)
    assert done.exit_code == 0
    assert f"--arch aarch64 --root {root} " in done.stdout
    assert re.search(rf"fsdev local,id=share\d,path={tmp_path},\S*readonly=on", done.stdout)
    assert "-cpu neoverse-n1" in done.stdout
    assert "PYTHONPATH=/opt/oomctl:" in done.stdout
