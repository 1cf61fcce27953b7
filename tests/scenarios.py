"""Scenarios as texts: loaded, planned, or refused with their faults."""

import textwrap

import pytest

from oomctl import scenario
from oomctl.scenario.fault import ScenarioError
from oomctl.scenario.planning import Site, plan

M = 1 << 20
SITE = Site(lambda: "t", 2048 * M)


class Files:
    """Scenario files in a temporary folder, which no message names: `FILE` stands for it."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, text, name="x.toml"):
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def load(self, text, *overrides, memory=None):
        return scenario.load(self.write(text), overrides, memory)

    def plan(self, text, *overrides, site=SITE):
        return plan(self.load(text, *overrides), site)

    def faults(self, text, *overrides, memory=SITE.memory):
        """Return the lines that refuse a scenario, without the name of its file."""
        with pytest.raises(ScenarioError) as caught:
            self.load(text, *overrides, memory=memory)
        return self.bare(caught.value.lines)

    def bare(self, lines):
        return [line.removeprefix(f"{self.folder}/x.toml: ") for line in lines]
