"""The plan of a command line is that of a file."""

import pytest

from oomctl.errors import UsageError
from oomctl.oom.plan import (
    Hog,
)
from oomctl.scenario import model, of_options
from oomctl.scenario.planning import plan
from tests.scenarios import SITE, M
from tests.unit.scenario.planning.settings import NO_SWAP, setting


def test_options_become_the_plan_that_a_file_has(files):
    written = files.plan("""
        timeout = 5
        [cgroup."."]
        memory.max = "64M"
        memory.swap.max = 0
        memory.oom.group = true
        [hog.a]
        size = "1M"
        oom_score_adj = -5
        [[call]]
        order = 3
        repeat = 2
    """)
    options = of_options(
        [Hog("a", M, -5)],
        model.Call(order=3, repeat=2),
        memory_max=64 * M,
        oom_group=True,
        timeout=5.0,
    )
    assert plan(options, SITE) == written


def test_options_of_0_are_written():
    made = plan(of_options([], model.Call(), memory_max=0, swap_max=0), SITE)
    assert setting("/t", "memory.max", 0) in made.settings
    assert NO_SWAP in made.settings
    assert plan(of_options([], model.Call(), memory_max=0), SITE) == made


def test_options_for_the_whole_system():
    assert plan(of_options([], model.Call(is_global=True)), SITE).cgroups == ()
    assert plan(of_options([Hog("a", 1)], model.Call(is_global=True)), SITE).cgroups == (
        "/t",
        "/t/a",
    )


@pytest.mark.parametrize("limit", [0, 1, 3 * M - 1, 3 * M])
def test_a_limit_below_the_hogs_is_a_fault_of_the_option(limit):
    hogs = [Hog("a", M), Hog("b", 2 * M)]
    with pytest.raises(UsageError) as caught:
        plan(of_options(hogs, model.Call(), memory_max=limit), SITE)
    (line,) = caught.value.lines
    assert "--memory-max is" in line
    assert line.endswith("; raise it or shrink them")
    together = line.startswith("the hogs want 3M but --memory-max is ")
    assert together is (limit >= 2 * M)
