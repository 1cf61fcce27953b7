"""Whatever oomctl advises works when it is typed."""

import os
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl import commandline
from oomctl.bpf import btf
from oomctl.cgroup import hierarchy
from oomctl.kmod import module
from tests.cli.command import run
from tests.hints import EXAMPLE, all_commands, commands, typed


def test_every_command_in_the_source():
    found = all_commands()
    assert {each: wrong for each in sorted(found) if (wrong := typed(each))} == {}
    assert len(found) > 50
    assert "oomctl kfunc load" in found


@pytest.mark.parametrize(
    "command",
    [
        *("oomctl", "oomctl lab run", "oomctl decline", "oomctl declare --hogz 3"),
        *("oomctl lab run -- oomctl decline", "sysctl vm.panic=1"),
        *("nonsense -a", "--nonsense", "systemd-run --scope oomctl run"),
    ],
)
def test_one_that_does_not_work_is_found(command):
    assert typed(command)


@pytest.fixture(autouse=True)
def nobody_has_typed_anything(monkeypatch):
    monkeypatch.setattr(commandline, "_words", ())


LINES = [
    ["declare", "--hogs", "3"],
    ["declare", "--cgroup", "/a b", "--no-wait"],
    ["run", str(EXAMPLE), "--repeat", "1000", "--set", "hog.small.size=1M"],
    ["run", "--parent", "/x", str(EXAMPLE)],
    ["run", "--parent=/x", str(EXAMPLE), "-v"],
    ["smoke", "lock.*", "--repeat", "5"],
]


@pytest.mark.parametrize("words", LINES, ids=shlex.join)
def test_the_users_own_command_in_the_lab_and_in_a_scope(words):
    commandline.remember(words)
    (command,) = commands(commandline.in_lab())
    assert shlex.split(command) == ["oomctl", "lab", "run", "--", "oomctl", *words]
    assert typed(command) == ""
    (command,) = commands(commandline.in_scope())
    assert command.startswith("systemd-run --scope -p Delegate=yes oomctl run --parent self ")
    assert command.count("--parent") == 1
    assert typed(command) == ""


@pytest.mark.parametrize("words", [[], ["doctor"], ["kfunc", "load"], ["lab", "fetch"], ["--help"]])
def test_what_declares_nothing_is_no_help_in_the_lab(words):
    commandline.remember(words)
    assert commandline.in_lab() == "`oomctl lab run -- oomctl declare`"
    assert typed(next(commands(commandline.in_scope()))) == ""


@given(st.lists(st.text()))
def test_any_word_is_quoted(words):
    commandline.remember(["declare", *words])
    line = shlex.split(commandline.in_lab().strip("`"))
    assert line[line.index("--") :] == ["--", "oomctl", "declare", *words]


@pytest.mark.parametrize(
    ("words", "folders"),
    [
        (["declare", "-o", "x"], ["."]),
        (["declare", "-ox"], ["."]),
        (["smoke", "--output=/a b/x"], ["/a b"]),
        (["run", "s.toml", "--record", "/r/x", "-o", "/o/x", "--repeat", "2"], ["/r", "/o"]),
        (["run", "s.toml", "--record", "/r/x", "-o", "/r/y"], ["/r"]),
        (["declare", "-o", "-"], []),
        (["declare", "-o", "/dev/stdout"], []),
        (["declare", "-o"], []),
    ],
)
def test_what_it_writes_in_the_lab_is_not_lost(words, folders):
    commandline.remember(words)
    given = [word for folder in folders for word in ("--rwdir", folder)]
    line = ["oomctl", "lab", "run", *given, "--", "oomctl", *words]
    assert commandline.in_lab() == f"`{shlex.join(line)}`"


@pytest.fixture
def lacking(cgroupfs, monkeypatch):
    """A machine that lacks the kfunc alone."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("oomctl.proc.procfs.in_first_namespace", lambda _kind: True)
    monkeypatch.setattr(btf, "find_kfunc", lambda: None)
    monkeypatch.setattr(module, "forbidden", lambda: None)
    return cgroupfs


@pytest.mark.parametrize("words", [["declare", "--order", "3"], ["run", str(EXAMPLE)]])
@pytest.mark.parametrize("modules", [True, False])
def test_without_the_kfunc(lacking, monkeypatch, tmp_path, words, modules):
    (tmp_path / "modules").touch()
    monkeypatch.setattr(module, "_LOADED", tmp_path / ("modules" if modules else "none"))
    result = run(*words)
    assert result.exit_code == 3
    said = result.stderr.splitlines()[-1]
    assert f"`oomctl lab run -- oomctl {shlex.join(words)}`" in said
    assert ("`oomctl kfunc load`, from Linux 6.12 on, or" in said) is modules
    assert ("since this kernel loads no modules (CONFIG_MODULES is off)" in said) is not modules
    assert [typed(command) for command in commands(said) if command.startswith("oomctl")] != []
    assert {typed(command) for command in commands(said)} == {""}


@pytest.fixture
def nested(cgroupfs):
    """A cgroup whose parent does not give it the memory controller."""
    outer = cgroupfs.create_cgroup("o uter")
    inner = outer.create_cgroup("inner")
    for file in ("memory.current", "memory.max", "memory.events"):
        (inner.directory / file).unlink()
    return inner


@pytest.mark.parametrize("words", [("declare", "--dry-run"), ("predict",)])
def test_a_target_whose_parent_lacks_the_controller(nested, words):
    result = run(*words, "--cgroup", "/o uter/inner")
    assert (result.exit_code, result.stdout) == (3, "")
    file = nested.directory.parent / "cgroup.subtree_control"
    assert result.stderr == (
        f"oomctl: --cgroup /o uter/inner: {nested.directory} has no memory controller; "
        f"run `echo +memory | tee '{file}'`, or name {nested.directory.parent}\n"
    )


def test_the_controller_is_enabled_from_the_root_down(cgroupfs, nested):
    (cgroupfs.directory / "cgroup.subtree_control").write_text("")
    (command,) = commands(hierarchy.enabling(nested))
    assert shlex.split(command)[4:] == [
        f"{cgroupfs.directory}/cgroup.subtree_control",
        f"{nested.directory.parent}/cgroup.subtree_control",
    ]
    (nested.directory.parent / "cgroup.procs").write_text("7\n")
    assert hierarchy.enabling(nested).startswith(
        f"processes live in {nested.directory.parent} itself, so it cannot enable "
        "controllers; name "
    )
