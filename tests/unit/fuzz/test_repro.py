"""A finding without oomctl: a C file and a shell script that can be built, with all of its case."""

import random
import re
import subprocess
from dataclasses import replace

import pytest

from oomctl.fuzz import repro
from oomctl.fuzz.case import Case
from oomctl.fuzz.finding import Expected, Finding
from oomctl.fuzz.folder import Folder
from oomctl.fuzz.generator import random_case
from oomctl.fuzz.oracles import Disagreement
from oomctl.fuzz.weights import SAYABLE
from oomctl.oom.enums import Oracle, ReproForm, Via
from oomctl.oom.plan import Call, Hog, Step, Sysctl

M = 1 << 20
CASE = Case(
    hogs=(
        Hog("hog0", 2 * M, 5, "a", "threads", entry="hog0", tasks=3),
        Hog("hog1", M, -1000, "a", "shared", entry="hog1", sharer="b"),
    ),
    files={".": {"memory.swap.max": "0"}, "a": {"memory.max": "8388608"}, "b": {}},
    steps=(Step(Call(".", 3, 1)), Step(Call("a", via=Via.LIMIT, amount=M))),
)
WEIGHTS = replace(SAYABLE, kinds=repro.KINDS)


def finding(case=CASE, victims=("hog0",)):
    seen = (Disagreement(Oracle.VICTIMS, "predicted */ ['hog1 (7)'], died\n['hog0']"),)
    return Finding(case, "7:1.0", seen, (Expected(1, victims),), 5, 5, True, "6.12.95")


def compiled(text, path):
    done = subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", "-x", "c", "-o", str(path), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_c_file_has_all_of_its_case(tmp_path):
    text = repro.text(finding(), ReproForm.C)
    assert '{ "hog0", "threads", "/oom-repro/a", NULL, 5, 3, 2097152 },' in text
    assert '{ "hog1", "shared", "/oom-repro/a", "/oom-repro/b", -1000, 1, 1048576 },' in text
    assert '{ "/oom-repro/a", "memory.max", "8388608", 0 },' in text
    assert '{ "/oom-repro", 0, 3, 1ULL, ' in text
    assert '" hog0 " },' in text
    assert '{ "/oom-repro/a", 1, 0, 0ULL, 1048576, " ?" },' in text
    compiled(text, tmp_path / "repro")


def test_a_script_has_all_of_its_case(tmp_path):
    text = repro.text(finding(), ReproForm.SH)
    assert 'pid_hog0=$("$hog" hog0 threads "$root"/oom-repro/a 5 2097152 3)' in text
    assert 'echo 8388608 >"$root"/oom-repro/a/memory.max' in text
    assert "declare_oom /oom-repro 3 1 \"${1:-}\"\ndied 1 ' hog0 ' 0" in text
    assert "lower_limit /oom-repro/a 1048576\ndied 2 ' ?' 1" in text
    assert text.startswith("#!/bin/sh\n# Found by `oomctl fuzz`, case 7:1.0")
    subprocess.run(["sh", "-n"], input=text, check=True, text=True)
    compiled(re.search(r"<<'EOF'\n(.*?)^EOF$", text, re.DOTALL | re.MULTILINE)[1], tmp_path / "hog")


@pytest.mark.parametrize("number", range(20))
@pytest.mark.parametrize("form", ReproForm)
def test_random_cases_can_be_rebuilt(form, number, tmp_path):
    text = repro.text(finding(random_case(random.Random(number), WEIGHTS), ()), form)
    if form == ReproForm.C:
        compiled(text, tmp_path / "repro")
    else:
        subprocess.run(["sh", "-n"], input=text, check=True, text=True)


@pytest.mark.parametrize(
    "case",
    [
        replace(CASE, hogs=(Hog("a", M, 0, "a", "traced"),)),
        replace(CASE, steps=(Step(Call(".", via=Via.RECLAIM)),)),
        replace(CASE, sysctls=(Sysctl("vm.swappiness", "0"),)),
    ],
)
def test_what_it_cannot_rebuild_is_said(case, tmp_path, capsys):
    assert repro.is_possible(finding())
    assert not repro.is_possible(finding(case))
    with Folder(tmp_path / "new", ReproForm.C) as folder:
        folder.keep(finding(case))
    assert [path.suffix for path in (tmp_path / "new").iterdir()] == [".toml"]
    assert "no --repro of it: that makes hogs of anon, mlock" in capsys.readouterr().err


@pytest.mark.parametrize("form", ReproForm)
def test_a_folder_has_the_program_beside_the_scenario(form, tmp_path):
    with Folder(tmp_path, form) as folder:
        folder.keep(finding())
    names = sorted(path.suffix for path in tmp_path.iterdir())
    assert names == sorted([f".{form}", ".toml"])
    with Folder(tmp_path) as folder:
        assert folder.known == {finding().form}
