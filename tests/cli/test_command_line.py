"""Any command line: help, one line for what is wrong, and nothing else ever."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import oomctl
from oomctl.errors import UnsupportedError
from oomctl.report import RENDERERS
from tests.cli.command import declare, refused, run
from tests.machine import V3
from tests.outcomes import OUTCOMES

ROOT = Path(oomctl.__file__).parents[1]


@pytest.mark.parametrize("arguments", [(), ("declare",), ("kfunc",), ("lab",), ("lab", "run")])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(arguments, flag):
    result = run(*arguments, flag)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert result.stderr == ""


@pytest.mark.parametrize(
    "option",
    [
        *("--cgroup", "--global", "--yes", "--order", "--wait / --no-wait", "--flags", "--hogs"),
        *("--size", "--hog [NAME=]SIZE[,adj=N]", "--memory-max", "--swap-max", "--oom-group"),
        *(
            "--repeat",
            "--timeout",
            "--format FORM[=FILE]",
            "--output",
            "--dry-run",
        ),
        *("--keep", "-v"),
    ],
)
def test_every_option_is_in_the_help(option):
    assert option in declare("--help").stdout


def test_version():
    assert run("--version").stdout == f"oomctl {oomctl.__version__}\n"


@pytest.mark.parametrize("words", [("--version", "-v"), ("-v", "--version")])
def test_version_of_all_that_it_works_with(machine, monkeypatch, tmp_path, words):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("oomctl.bpf.libbpf.version", lambda: "1.5")
    monkeypatch.setattr("platform.release", lambda: "6.12-test")
    plain = f"oomctl {oomctl.__version__}\nlibbpf 1.5\nkernel 6.12-test\n"
    assert run(*words).stdout == (
        f"{plain}kfunc  v3, provided by {V3.provider}\ncache  {tmp_path}/cache\n"
    )
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", lambda: None)
    assert "kfunc  none\n" in run(*words).stdout

    def missing():
        raise UnsupportedError("libbpf.so.1 is not installed")

    monkeypatch.setattr("oomctl.bpf.libbpf.version", missing)
    assert "kfunc  unknown: libbpf.so.1 is not installed\n" in run(*words).stdout


def test_v_before_the_command_is_its_own_too(machine):
    machine.outcome = UnsupportedError("it failed", "do this", "the log")
    assert "oomctl: the log" in run("-v", "declare").stderr
    assert "the log" not in run("declare").stderr


def test_a_command_imports_no_other():
    script = (
        "import sys; from oomctl.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "print(*(name for name in sys.modules if name.startswith('oomctl.cli.')))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, "watch", "--help"], capture_output=True, text=True
    ).stdout.splitlines()[-1]
    assert "oomctl.cli.watch" in said.split()
    assert not {"oomctl.cli.declare", "oomctl.cli.run", "oomctl.cli.lab"} & set(said.split())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("oomctl d", ["declare", "doctor"]),
        ("oomctl lab s", ["status", "smoke", "shell", "start", "stop"]),
    ],
)
def test_completion_knows_every_command(words, found):
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    environment |= {"_OOMCTL_COMPLETE": "complete_bash", "PYTHONPATH": str(ROOT)}
    script = "import sys; sys.argv = ['oomctl']; from oomctl.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == found


def test_without_a_command_the_help_comes_and_it_is_a_usage_error():
    result = run()
    assert result.exit_code == 2
    assert "Commands:" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--nonsense", "No such option: --nonsense"),
        ("decare", "No such command 'decare'. Did you mean 'declare', 'compare'? See `oomctl -h`"),
        ("declare extra", "unexpected extra argument"),
        ("declare --nonsense", "No such option: --nonsense"),
        ("declare --hogs", "--hogs"),
        ("declare --hogs x", "'--hogs': 'x' is not a whole number"),
        ("declare --hogs 1.5", "'1.5' is not a whole number"),
        ("declare --hogs -1", "-1 is out of range; it goes from 0 to 4096"),
        ("declare --hogs 4097", "4097 is out of range"),
        ("declare --order x", "'--order': 'x' is not a whole number"),
        ("declare --order 2147483648", "out of range; it goes from -2147483648 to 2147483647"),
        ("declare --flags -1", "'--flags': -1 is out of range"),
        ("declare --flags 18446744073709551616", "out of range"),
        ("declare --flags 0x1ffffffffffffffff", "is not a whole number of at most 64 bits"),
        ("declare --flags 2 --wait", "--flags and --wait/--no-wait exclude each other"),
        ("declare --flags 0 --no-wait", "exclude each other"),
        ("declare --size 3M", "--size needs --hogs N"),
        ("declare --cgroup /x --size 3M", "--size needs --hogs N"),
        ("declare --hogs 1 --size 3Q", "'--size': '3Q' is not a size; write bytes, or K, M, G"),
        ("declare --hogs 1 --size -3", "'-3' is not a size"),
        ("declare --hogs 1 --size 010M", "reads as octal"),
        ("declare --hog 64Q", "--hog '64Q': '64Q' is not a size"),
        ("declare --hog a=1M,adj=1001", "adj 1001 is out of range; it goes from -1000 to 1000"),
        ("declare --hog a/b=1M", "'a/b' cannot name a hog"),
        ("declare --hog a=1M --hog a=2M", "two hogs are named 'a'"),
        ("declare --memory-max 112M", "the hogs want 112M but --memory-max is 112M"),
        ("declare --memory-max most", "'most' is not a size"),
        ("declare --swap-max x", "'x' is not a size"),
        ("declare --repeat 0", "0 is out of range; it goes from 1 to 100000"),
        ("declare --timeout 0", "0 is out of range; it goes from 100ms to 24h"),
        ("declare --timeout nan", "'nan' is not a time; write seconds, or such as"),
        ("declare --timeout inf", "'inf' is not a time"),
        ("declare --timeout soon", "'soon' is not a time"),
        (
            "declare --format xml",
            "'xml' is not one of table, json, jsonl, markdown, html",
        ),
        ("declare --cgroup /x --global", "--cgroup and --global exclude each other"),
        ("declare --cgroup /x --memory-max 1G", "belong to a fresh cgroup, not to --cgroup"),
        ("declare --cgroup /x --oom-group", "belong to a fresh cgroup"),
        ("declare --cgroup /x --swap-max 1", "belong to a fresh cgroup"),
        ("declare --cgroup /x --swap-max 0", "belong to a fresh cgroup"),
        ("declare --cgroup /x --memory-max 0", "belong to a fresh cgroup"),
        ("declare --global --hogs 0 --swap-max 0", "limits need a fresh cgroup"),
        ("declare --cgroup /nonsense", "--cgroup /nonsense: no such cgroup below"),
        ("declare --cgroup /", "the root cgroup cannot be a target"),
        ("declare --cgroup /etc/passwd", "is not a cgroup v2 directory"),
        ("declare --cgroup ''", "'--cgroup': it is empty"),
        ("declare --global", "--global kills the largest task of the machine"),
        ("declare --output /nonexistent/x", "--output /nonexistent/x: No such file or directory"),
        ("declare --output /etc/passwd/x", "Not a directory; name a file in a folder"),
        ("declare --output /tmp", "--output /tmp: is a folder; name a file"),
        ("declare --output ''", "'--output' / '-o': it is empty"),
        ("declare --output=", "'--output' / '-o': it is empty"),
        ("report ''", "'[FILE...]': it is empty"),
        ("compare a ''", "'B': it is empty"),
        ("examples --copy ''", "'--copy': it is empty"),
        ("kfunc build --into ''", "'--into': it is empty"),
        ("lab run --rwdir '' x", "'--rwdir': it is empty"),
        (f"declare --output {'n' * 300}", "File name too long; name a file"),
        ("declare --dry-run -o f/", "f/ ends in a slash, as a folder does; name a file"),
        ("run x.toml --record r/", "r/ ends in a slash"),
        ("declare --back-to-back", "--back-to-back needs --repeat N"),
        ("declare --global --hogs 0 --keep", "--keep has no effect, since nothing is made"),
        ("declare --dry-run -f html", "--dry-run prints a plan, which --format html cannot show"),
        ("predict", "the target is missing; give either --cgroup PATH or --global"),
        ("kfunc build --headers nope", "--headers: nope is not a folder; name a kernel's build"),
        ("lab run --cpus 0 x", "'--cpus': 0 is out of range; it goes from 1 to 255"),
        ("lab run --module /etc/passwd x", "/etc/passwd is not a kernel module"),
        ("smoke --list --repeat 3", "--list runs nothing, so --repeat has no effect; leave out"),
        ("lab smoke --list --cpus 3", "--list runs nothing, so --cpus has no effect"),
        (
            "smoke --list -f ktap",
            "--format ktap: it is for results, and --list has none; take table",
        ),
        ("examples --copy d -f json", "--copy prints nothing, so --format has no effect"),
        ("declare --timeout ٣", "'٣' is not a time"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(machine, arguments, says):
    refused(run(*shlex.split(arguments)), 2, says)
    assert machine.plans == []


@pytest.mark.parametrize("arguments", ["--nonsense", "--hogs x", "extra"])
def test_what_typer_refuses_says_where_help_is(arguments):
    assert "see `oomctl declare -h`" in declare(*arguments.split()).stderr.replace("root ", "")


def test_nothing_of_a_hostile_name_reaches_the_terminal(machine):
    refused(declare("--cgroup", "a\nb\x1b[31m\udcff"), 2, r"--cgroup a\nb\x1b[31m\xff: no such")
    refused(declare("--hog", "\x1b[2J\n"), 2, r"'\x1b[2J\n' is not a size")


SIZES = st.sampled_from(["1", "64M", "0", "0x10K", "3Q", "", "-1", "8E", "max", "٣"])
NUMBERS = st.integers(-5, 5).map(str) | st.sampled_from(
    ["", "x", "1e3", "99999999999999999999", "0x", "0x1", "2147483648", "nan", "-2147483649"]
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
WITH_VALUE = {
    "--cgroup": st.sampled_from(["/a", "a", "/", "/x", "", "/etc", "..", "{mount}/a"]) | TEXT,
    "--order": NUMBERS,
    "--flags": NUMBERS,
    "--hogs": NUMBERS,
    "--size": SIZES,
    "--hog": st.builds("{}{}{}".format, st.sampled_from(["", "a=", "b=", "/="]), SIZES, TEXT),
    "--memory-max": SIZES,
    "--swap-max": SIZES,
    "--repeat": NUMBERS,
    "--timeout": NUMBERS,
    "--format": st.sampled_from([*RENDERERS, "xml", ""]),
    "--output": st.sampled_from(["{tmp}/out", "{tmp}", "{tmp}/no/out", "/dev/full", ""]),
}
SWITCHES = ["--global", "--yes", "--wait", "--no-wait", "--oom-group", "--dry-run", "--keep", "-v"]
options = st.one_of(
    *(st.tuples(st.just(name), values) for name, values in WITH_VALUE.items()),
    st.sampled_from(SWITCHES).map(lambda name: (name,)),
    TEXT.map(lambda text: (text,)),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(options, max_size=6), st.sampled_from(["default", "refused"]))
@example([], "default")
@example([("--global",), ("--yes",)], "default")
def test_any_command_line_ends_in_a_documented_way(machine, tmp_path, some, name):
    if not (machine.root.directory / "a").exists():
        machine.root.create_cgroup("a")
    machine.outcome = OUTCOMES[name]
    values = {"{mount}": str(machine.root.directory), "{tmp}": str(tmp_path)}
    arguments = [word for option in some for word in option]
    for key, value in values.items():
        arguments = [word.replace(key, value) for word in arguments]

    result = declare(*arguments)

    assert result.exit_code in {0, 1, 2, 3} or "/dev/full" in arguments, result.output
    assert isinstance(result.exception, SystemExit | None)
    assert "Traceback" not in result.output
    assert len(result.stderr.splitlines()) <= 3
    if result.exit_code in {2, 3}:
        assert result.stdout == ""
        assert result.stderr.startswith("oomctl: ")
    assert {path.name for path in tmp_path.iterdir()} <= {"cgroup2", "out"}
    assert [node.cgroup for node in machine.root.walk()] == ["/", "/a"]
