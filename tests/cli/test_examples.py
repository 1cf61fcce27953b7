import json
from pathlib import Path

import pytest

from oomctl import resources
from tests.cli.command import run

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.toml"))


def test_every_example_is_listed_with_its_description():
    result = run("examples")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == NAMES
    listed = json.loads(run("examples", "-f", "json").stdout)
    assert [one["name"] for one in listed] == NAMES
    assert all(one["description"].endswith(".") for one in listed)


def test_the_list_fits_a_terminal(monkeypatch):
    monkeypatch.setattr("oomctl.cli.output.Output.width", 60)
    lines = run("examples").stdout.splitlines()
    assert max(map(len, lines)) <= 60
    assert [line.split()[0] for line in lines if line[0] != " "] == NAMES


@pytest.mark.parametrize("name", ["soak", "soak.toml"])
def test_one_is_printed_as_it_is(name):
    assert run("examples", name).stdout == (EXAMPLES / "soak.toml").read_text()


def test_an_unknown_one_is_refused_with_the_nearest():
    result = run("examples", "oom-grup")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(
        "'oom-grup' is not the name of an example; did you mean oom-group?\n"
    )
    assert "`oomctl examples` lists them" in run("examples", "quite other").stderr


def test_they_are_copied_and_replace_nothing(tmp_path):
    folder = tmp_path / "new" / "examples"
    assert run("examples", "--copy", str(folder)).exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in EXAMPLES.iterdir() if path.is_file()
    )
    assert run("examples", "--copy", str(folder)).exit_code == 0  # the same files are there
    (folder / "soak.toml").write_text("mine")
    (folder / "ramp.toml").unlink()
    result = run("examples", "--copy", str(folder))
    assert result.exit_code == 2
    assert f"{folder}/soak.toml is there already, with other contents" in result.stderr
    assert (folder / "soak.toml").read_text() == "mine"
    assert not (folder / "ramp.toml").exists()


def test_one_is_copied(tmp_path):
    assert run("examples", "soak", "--copy", str(tmp_path)).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["soak.toml"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    result = run("examples", "--copy", str(tmp_path / "file" / "below"))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_new_scenario_is_valid(tmp_path):
    made = run("scenario", "new", "-o", str(tmp_path / "mine.toml"))
    assert made.exit_code == 0
    checked = run("scenario", "check", str(tmp_path / "mine.toml"))
    assert (checked.exit_code, "valid" in checked.stdout) == (0, True)
    assert (tmp_path / "mine.toml").read_text() == run("scenario", "new").stdout
    again = run("scenario", "new", "-o", str(tmp_path / "mine.toml"))
    assert (again.exit_code, again.stderr.endswith("is there already; name a new file\n")) == (
        2,
        True,
    )


def test_a_wheel_has_the_examples_below_built(tmp_path, monkeypatch):
    (tmp_path / "oomctl/built/examples").mkdir(parents=True)
    (tmp_path / "oomctl/built/examples/a.toml").touch()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "oomctl")
    assert [path.name for path in resources.examples()] == ["a.toml"]


def test_an_example_that_is_not_there_is_told_how_to_get(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("soak", "examples/soak.toml"):
        result = run("run", name, "--dry-run")
        assert result.exit_code == 2
        assert "`oomctl examples --copy examples` writes it" in result.stderr
