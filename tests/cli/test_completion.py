"""What the shell offers behind a word that is begun: typer's own protocol, in this process."""

from pathlib import Path

import pytest

from oomctl.cli import completion
from tests.cli.command import run

EXAMPLES = sorted(path.stem for path in (Path(__file__).parents[2] / "examples").glob("*.toml"))


def offered(line):
    """Return what bash would show for a line that ends in the word to complete."""
    variables = {"_ROOT_COMPLETE": "complete_bash", "_OOMCTL_COMPLETE": "complete_bash"}
    result = run(env=variables | {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))})
    return [word for word in result.stdout.splitlines() if word]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("oomctl s", ["smoke", "scenario"]),
        ("oomctl kfunc l", ["load"]),
        ("oomctl declare --format m", ["markdown"]),
        ("oomctl watch -f j", ["json", "jsonl"]),
        ("oomctl doctor -f ", ["table", "json", "markdown", "html", "csv"]),
        ("oomctl lab run --kvm o", ["on", "off"]),
        ("oomctl run x --via b", ["bpf"]),
        ("oomctl run x --via bpf,l", ["bpf,limit"]),
        ("oomctl examples oom-g", ["oom-group"]),
    ],
)
def test_commands_formats_triggers_and_examples(line, found):
    assert offered(line) == found


@pytest.mark.parametrize("command", ["smoke ", "lab smoke ", "smoke --exclude "])
def test_smoke_cases_and_groups(command):
    assert offered(f"oomctl {command}loc")[0] == "lock"
    found = offered(f"oomctl {command}arguments.order-")
    assert "arguments.order-0" in found
    assert all(name.startswith("arguments.order-") for name in found)


@pytest.mark.parametrize("variables", [{}, {"COMP_WORDS": "oomctl", "COMP_CWORD": "x"}])
def test_what_no_shell_sets_is_no_traceback(variables):
    asked = {"_ROOT_COMPLETE": "complete_bash", "_OOMCTL_COMPLETE": "complete_bash"}
    result = run(env=asked | {"COMP_WORDS": None} | variables)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "")


def test_every_example():
    assert offered("oomctl examples ") == EXAMPLES


def test_kernels(tmp_path, monkeypatch):
    (tmp_path / "vmlinuz-6.12").touch()
    monkeypatch.setattr(completion, "BOOT", tmp_path)
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache/kernels/7.3.4-oomctl").mkdir(parents=True)
    for command in ("run", "smoke"):
        found = offered(f"oomctl lab {command} --kernel ")
        assert found == ["stock", "reference", "7.3.4-oomctl", f"{tmp_path}/vmlinuz-6.12"]
    assert offered("oomctl lab kernels --remove ") == ["7.3.4-oomctl"]
    assert offered("oomctl lab run --kernel s") == ["stock"]


@pytest.mark.parametrize("option", ["--set", "--vary"])
def test_the_kinds_of_a_hog(option):
    assert completion.overrides("hog.a.kind=t")[-1] == "hog.a.kind=traced"
    assert offered(f"oomctl run x {option} hog.a.kind=thr") == ["hog.a.kind=threads"]
    assert offered(f"oomctl run x {option} hog.a.kind=anon,fo") == ["hog.a.kind=anon,forker"]
    assert offered(f"oomctl run x {option} hog.a.size=") == []


def test_scenario_files_and_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    for name in ("a.toml", "b.toml", "a.jsonl", "more/c.toml", "more/[d].toml"):
        (tmp_path / name).touch()
    files = ["a.toml", "b.toml", "more/[d].toml", "more/c.toml"]
    for command in ("run", "scenario check"):
        assert offered(f"oomctl {command} ") == files
        assert offered(f"oomctl {command} a.toml m") == files[2:]
        assert offered(f"oomctl {command} more/c") == ["more/c.toml"]
        assert offered(f"oomctl {command} {tmp_path}/a") == [f"{tmp_path}/a.toml"]
    for command in ("report", "compare", "compare x.jsonl"):
        assert offered(f"oomctl {command} ") == ["a.jsonl"]


def test_logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("kern.log", "console.txt", "a.toml"):
        (tmp_path / name).touch()
    assert offered("oomctl explain ") == ["kern.log", "console.txt"]
    assert offered("oomctl explain x --format h") == ["html"]
