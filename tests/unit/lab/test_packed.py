"""The files of a Python that waits in a guest, and the words that it may do."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import oomctl
from oomctl import resources
from oomctl.kmod import elf
from oomctl.lab import packed

HERE = str(Path(sys.executable).parent)
ENVIRONMENT = {"PATH": f"{HERE}:/usr/bin:/bin", "HOME": "/root", "TERM": "dumb"}
MODULE = (sys.executable, "-m", "oomctl", "declare", "--hogs", "3")
CHECKOUT = str(Path(oomctl.__file__).parents[1])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What this Python loads, as it is found when nothing is in the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OOMCTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = packed.find()
        assert made is not None
        yield made


def request(found, *words, cwd="/", **environment):
    text = found.request(words, {**ENVIRONMENT, **environment}, cwd)
    return text and json.loads(text)


def test_it_has_the_modules_of_a_declaration_and_not_of_the_lab(found):
    names = {Path(file).relative_to(CHECKOUT) for file in found.files if file.startswith(CHECKOUT)}
    assert Path("oomctl/cli/declare.py") in names
    assert Path("oomctl/experiment/session.py") in names
    own = {str(name) for name in names if name.parts[:2] == ("oomctl", "lab")}
    assert own == {f"oomctl/lab/{name}.py" for name in ("__init__", "loaded", "waiting")}
    assert not [name for name in names if name.parts[:2] == ("oomctl", "fleet")]


def test_what_was_found_is_kept_until_a_file_is_another(found, tmp_path, monkeypatch):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "modules"
    folder.mkdir()
    source = folder / "a.py"
    source.write_text("1")
    asked = []

    def run(*_words, **_options):
        asked.append(1)
        told = {"files": [str(source)], "folders": [str(folder)], "variables": {}}
        told["tops"] = {"oomctl": CHECKOUT}
        return subprocess.CompletedProcess((), 0, json.dumps(told))

    monkeypatch.setattr(packed.subprocess, "run", run)
    first = packed.find()
    assert packed.find() == first
    assert len(asked) == 1
    source.write_text("22")
    second = packed.find()
    assert len(asked) == 2
    assert second.digest != first.digest
    (folder / "new.py").write_text("")  # it may hide a module that is found later
    assert packed.find().digest == second.digest
    assert len(asked) == 3
    for record in tmp_path.glob("cache/pythons/*"):
        record.write_text("{")
    packed.find()
    assert len(asked) == 4


@pytest.mark.parametrize(
    "answer", ["", "{}", '{"tops": {"oomctl": "/elsewhere"}, "files": [], "folders": []}']
)
def test_a_python_that_has_another_oomctl_does_not_wait(answer, tmp_path, monkeypatch):
    monkeypatch.setenv("OOMCTL_CACHE", str(tmp_path))
    done = subprocess.CompletedProcess((), 0, answer)
    monkeypatch.setattr(packed.subprocess, "run", lambda *_words, **_options: done)
    assert packed.find() is None


def test_a_module_is_asked_for_with_its_words_variables_and_path(found):
    asked = request(found, *MODULE, cwd="/tmp", PYTHONPATH=CHECKOUT)
    assert asked["python"] == sys.executable
    assert asked["words"] == [*MODULE]
    assert asked["path"] == ["/tmp", CHECKOUT]
    given = {**ENVIRONMENT, "PYTHONPATH": CHECKOUT, "PWD": "/tmp"}
    assert asked["environment"] == given


def test_a_script_of_this_python_is_asked_for(found, tmp_path):
    script = tmp_path / "oomctl"
    script.write_text(f"#!{sys.executable}\nfrom oomctl.__main__ import main\n")
    script.chmod(0o755)
    asked = request(found, "oomctl", "-h", PATH=str(tmp_path))
    assert asked["words"] == [sys.executable, str(script), "-h"]
    assert asked["path"] == [str(tmp_path)]
    script.write_text("#!/usr/bin/env other\n")
    assert request(found, "oomctl", "-h", PATH=str(tmp_path)) == ""
    script.write_bytes(b"\x7fELF")
    assert request(found, "oomctl", "-h", PATH=str(tmp_path)) == ""


@pytest.mark.parametrize(
    "words",
    [
        ("true",),
        ("sh", "-c", "oomctl declare"),
        ("oomctl-other",),
        ("env", "oomctl"),
        (sys.executable, "-m", "pytest"),
        (sys.executable, "-c", "1"),
        (sys.executable, "-I", "-m", "oomctl"),
        (sys.executable,),
        ("/usr/bin/python3", "-m", "oomctl"),
        (),
    ],
)
def test_other_words_are_not_for_it(found, words):
    assert request(found, *words) == ""


@pytest.mark.parametrize(
    ("name", "is_asked"),
    [
        *(("OOMCTL_CACHE", True), ("NO_COLOR", True), ("PYTHONDONTWRITEBYTECODE", True)),
        *(("LANG", False), ("LC_ALL", False), ("PYTHONHASHSEED", False), ("LD_PRELOAD", False)),
        *(("PYTHONUTF8", False), ("TYPER_USE_RICH", False), ("HOME", False)),
    ],
)
def test_variables_that_only_a_start_heeds_are_not_for_it(found, name, is_asked):
    assert bool(request(found, *MODULE, **{name: "1"})) == is_asked


def test_a_folder_that_hides_a_module_is_not_for_it(found, tmp_path):
    assert request(found, *MODULE, cwd=CHECKOUT)
    assert request(found, *MODULE, cwd=str(tmp_path))
    (tmp_path / "typer").write_text("no module")
    (tmp_path / "unheard_of.py").write_text("")
    assert request(found, *MODULE, cwd=str(tmp_path))
    (tmp_path / "oomctl").mkdir()
    assert request(found, *MODULE, cwd=str(tmp_path)) == ""
    assert request(found, *MODULE, PYTHONPATH=f"/nowhere:{tmp_path}") == ""
    (tmp_path / "oomctl").rmdir()
    (tmp_path / "typer.py").write_text("")
    assert request(found, *MODULE, cwd=str(tmp_path)) == ""


@pytest.mark.skipif(not shutil.which("busybox"), reason="needs busybox")
def test_the_pack_has_every_file_at_its_path(found, tmp_path):
    """With every file at its path below a folder; links lead to where they lead here."""
    unpacked = subprocess.run(
        ["busybox", "cpio", "-id"], input=found.archive(), cwd=tmp_path, capture_output=True
    )
    assert unpacked.returncode == 0, unpacked.stderr
    root = tmp_path / "python"
    for file in found.files:
        assert os.path.lexists(f"{root}{Path(file).resolve()}")
        assert os.path.lexists(f"{root}{Path(file).parent}")
    assert (root / "proc").is_dir()
    assert not (root / Path(oomctl.__file__).relative_to("/")).read_bytes()


def test_archive_of_a_file_that_is_gone(found):
    with pytest.raises(OSError, match="nothing-here"):
        replace(found, files=("/nothing-here",)).archive()


@pytest.mark.skipif(not shutil.which("true"), reason="needs a program")
def test_what_is_for_debuggers_is_left_out(tmp_path):
    program = tmp_path / "true"
    whole = Path(shutil.which("true")).read_bytes()
    program.write_bytes(elf.loaded(whole + b"more"))
    program.chmod(0o755)
    assert program.stat().st_size <= len(whole)
    assert subprocess.run([program], check=False).returncode == 0
    relocatable = resources.built("observer.bpf.o").read_bytes()
    for data in (b"#!/bin/sh\n", whole[:70], elf.MAGIC + b"\2", relocatable):
        assert elf.loaded(data) == data


def test_this_python_has_several_names_in_its_folder(tmp_path, monkeypatch):
    """As links, or as copies, which `venv --copies` makes."""
    for name, content in (("python", "a"), ("python3.11", "a"), ("sh", "b"), ("python2", "c")):
        (tmp_path / name).write_text(content)
    (tmp_path / "python3").symlink_to("python")
    (tmp_path / "sub").mkdir()
    shutil.copy(tmp_path / "python", tmp_path / "sub/python")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    names = ("python", "python3", "python3.11", "sh", "python2", "missing", "sub/python")
    ours = [name for name in names if packed._is_ours(str(tmp_path / name))]
    assert ours == ["python", "python3", "python3.11"]
