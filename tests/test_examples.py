"""Every scenario of examples/ is valid, small, says what it shows, and expects something."""

import tomllib
from pathlib import Path

import jsonschema
import pytest

from oomctl import scenario
from oomctl.describe.plan_text import describe
from oomctl.scenario.planning import Site, plan

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.toml"))
LAB = Site(lambda: "t", 2 << 30)


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft202012Validator(scenario.schema())


def test_there_are_a_dozen():
    assert len(EXAMPLES) >= 12


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_expects_something(path, validator):
    validator.validate(tomllib.loads(path.read_text()))
    written = scenario.load(path)
    made = plan(written, LAB)
    assert written.description.endswith(".")
    assert path.read_text().startswith("# "), "it begins with a word on what it teaches"
    assert made.expect is not None
    assert sum(hog.size for hog in made.hogs) <= 128 << 20
    assert describe(made)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_kills_none_but_its_own_unless_it_says_so(path):
    made = plan(scenario.load(path), LAB)
    if made.system_wide:
        assert "KILLS" in path.read_text()
    else:
        assert {step.call.target for step in made.steps} <= set(made.cgroups)
