"""`oomctl fuzz` on a kernel that is the model, beside a model that may have a fault."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from oomctl.errors import OomctlError
from oomctl.proc import procfs
from tests.cli.command import refused, run
from tests.schemas import validator
from tests.unit.fuzz.fake_kernel import FakeBench, FakeKernel
from tests.unit.fuzz.test_hunt import FAULTS

TIES = FAULTS["ties go to the first"]


@pytest.fixture
def bench(machine, monkeypatch, tmp_path):
    """A bench whose model a test may change."""

    class Bench(FakeBench):
        pass

    monkeypatch.setattr("oomctl.cli.fuzz.Bench", Bench)
    monkeypatch.chdir(tmp_path)
    return Bench


def result_of(*words, code=0):
    result = run("fuzz", "-f", "json", *words)
    assert result.exit_code == code, result.stderr
    tree = json.loads(result.stdout)
    validator("fuzz-schema.json").validate(tree)
    return tree


def test_where_all_agree(bench):
    result = run("fuzz", "--rounds", "20", "--seed", "0x10")
    assert result.exit_code == 0
    assert "seed      16\n" in result.stdout
    assert "rounds    20: 20 agreed\n" in result.stdout
    assert "20 rounds with seed 16: each in a tree of its own" in result.stderr
    assert "no OOM on the whole system" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_result_as_json(bench):
    tree = result_of("--rounds", "20", "--seed", "3")
    assert tree["rounds"] == {"agreed": 20, "explained": 0, "differs": 0, "not-filled": 0}
    assert (tree["seed"], tree["experiments"], tree["end"]) == (3, 20, "done")
    rows = {(row["what"], row["which"]): row["rounds"] for row in tree["coverage"]}
    assert rows["rule", "largest"] + rows["rule", "adj"] + rows["rule", "no-task"] >= 15
    assert rows["victim", "anon"] > 0
    assert rows["return", "1"] > 0
    assert ("rule", "swap") in rows


def test_a_seed_gives_the_same_and_another_seed_another(bench):
    first, again, other = (result_of("--rounds", "9", "--seed", s)["coverage"] for s in "112")
    assert first == again != other


def test_without_a_seed_it_is_random_and_shown(bench):
    seeds = {result_of("--rounds", "1")["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_for_some_time(bench):
    tree = result_of("--for", "1ms")
    assert tree["end"] == "done"
    assert tree["rounds"]["agreed"] >= 1


def test_settings_of_the_whole_machine_only_if_asked_for(bench):
    words = "--rounds", "30", "--seed", "3"
    named = "lru_gen/enabled, /sys/kernel/mm/transparent_hugepage/enabled"
    for more, made in (((), set()), (("--switches",), {"lru_gen", "transparent_hugepage"})):
        result = run("fuzz", "-f", "json", *words, *more)
        rows = json.loads(result.stdout)["coverage"]
        steps = {row["which"].split("/")[0] for row in rows if row["what"] == "step"}
        assert steps & {"lru_gen", "transparent_hugepage"} == made
        assert (named in result.stderr) is bool(made)


def test_only_some_kinds(bench):
    tree = result_of("--rounds", "20", "--only", "shmem,hugetlb")
    kinds = [row for row in tree["coverage"] if row["what"] == "victim"]
    assert {row["which"] for row in kinds} == {"shmem", "hugetlb"}


def test_a_finding_is_reported_with_its_scenario_and_written(bench):
    bench.model = TIES
    words = "--seed", "1", "--out", "found", "--rounds", "30"
    tree = result_of(*words, code=1)
    finding = tree["findings"][0]
    assert finding["hogs"] <= 3
    assert finding["seen"] == finding["tried"] == 5
    assert [each["oracle"] for each in finding["disagreements"]] == ["victims"]
    path = Path("found", f"finding-{finding['form']}.toml")
    assert path.read_text() == finding["scenario"]
    assert len([*Path("found").iterdir()]) == len(tree["findings"])
    assert run("scenario", "check", path).exit_code == 0

    again = result_of(*words)
    assert again["findings"] == []
    assert again["repeated"].keys() == {each["form"] for each in tree["findings"]}


def test_pages_of_another_size(bench, monkeypatch):
    monkeypatch.setattr(procfs, "PAGE_SIZE", 65536)
    refused(run("fuzz"), 3, "this kernel's pages have 64K", "oomctl smoke")


def test_it_ends_after_so_many_findings(bench):
    bench.model = TIES
    words = "--seed", "1", "--rounds", "200"
    tree = result_of(*words, "--findings", "1", code=1)
    assert (len(tree["findings"]), tree["end"]) == (1, "enough")
    assert sum(tree["rounds"].values()) < 200
    shown = run("fuzz", *words, "--findings", "1").stdout
    assert "differs; ended by --findings\n" in shown
    assert run("fuzz", "--findings", "0").exit_code == 2


def test_a_case_that_the_machine_does_not_survive_is_kept(bench, monkeypatch):
    words = ("--seed", "1", "--rounds", "3", "--out", "found")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda _path: None)  # as if there was no time for it
        run("fuzz", "--seed", "1", "--rounds", "1", "--out", "found")
    (left,) = Path("found").iterdir()
    assert left.name.startswith("under-way-")
    result = run("fuzz", *words)
    (kept,) = Path("found").iterdir()
    assert kept.name == left.name.replace("under-way", "finding")
    assert f"finding {kept.name}: the machine stopped, or oomctl was killed" in result.stderr
    assert "# Found by `oomctl fuzz`, case 1:1." in kept.read_text()
    assert run("scenario", "check", kept).exit_code == 0


@pytest.mark.parametrize("form", ["c", "sh"])
def test_a_finding_is_written_as_a_program_too(bench, form):
    bench.model = TIES
    words = ("--rounds", "40", "--seed", "5", "--only", "anon", "--out", "found", "--repro", form)
    assert run("fuzz", *words).exit_code == 1
    suffixes = Counter(path.suffix for path in Path("found").iterdir())
    assert suffixes[f".{form}"] == suffixes[".toml"] > 0
    program = next(Path("found").glob(f"*.{form}"))
    assert "Found by `oomctl fuzz`, case 5:" in program.read_text()


def test_a_finding_in_the_table(bench):
    bench.model = TIES
    result = run("fuzz", "--seed", "1", "--rounds", "10")
    assert result.exit_code == 1
    assert "confirmed 5 of 5 times, shrunk to 2 hogs" in result.stdout
    assert "[[call]]" in result.stdout
    assert "differs, and is confirmed and shrunk: victims: predicted" in result.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seed", "x"], "'x' is not a whole number"),
        (["--seed", "-1"], "-1 is out of range"),
        (["--rounds", "0"], "0 is out of range"),
        (["--for", "never"], "never"),
        (["--only", "anon,ram"], "'ram' is not a kind of hog; take anon, file"),
        (["--only", ""], "it is empty"),
        (["--out", "."], "it has other things than findings, such as"),
        (["--out", "other"], "File exists"),
        (["--repro", "c"], "--repro writes into a folder; name one with --out"),
        (["--out", "new", "--repro", "d"], "'d' is not one of 'c', 'sh'"),
    ],
)
def test_wrong_usage(bench, words, says):
    Path("other").write_text("")
    refused(run("fuzz", *words), 2, says)


def test_too_little_memory_is_said(bench, monkeypatch):
    little = SimpleNamespace(available=100 << 20, total=1 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    refused(run("fuzz", "--out", "new"), 3, "100M of memory are available", "--memory 2G")
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("error", "end", "code"),
    [(KeyboardInterrupt(), "interrupted", 130), (OomctlError("the disk is full"), "failed", 4)],
)
def test_what_ends_it_leaves_a_report(bench, monkeypatch, error, end, code):
    class Ending(FakeKernel):
        def __call__(self, case, origin):
            if self.runs == 5:
                raise error
            return super().__call__(case, origin)

    monkeypatch.setattr("tests.unit.fuzz.fake_kernel.FakeKernel", Ending)
    tree = result_of("--rounds", "20", "--seed", "1", code=code)
    assert tree["end"] == end
    assert sum(tree["rounds"].values()) == 5


def test_a_machine_that_cannot_is_told_so(bench, monkeypatch):
    monkeypatch.setattr("oomctl.bpf.btf.find_kfunc", lambda: None)
    refused(run("fuzz"), 3, "has no bpf_out_of_memory()")
