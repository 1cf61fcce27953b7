"""What a plan makes of cgroups: their files, controllers, percentages, place."""

from dataclasses import replace

import pytest

from oomctl.describe.plan_text import describe
from oomctl.oom.plan import (
    Call,
    Hog,
    Step,
)
from oomctl.scenario import model, of_options
from oomctl.scenario.planning import Existing, Site, plan
from tests.scenarios import SITE, M
from tests.unit.scenario.planning.settings import control, setting


def test_every_file_of_a_cgroup_is_written_before_its_children_are_made(files):
    made = files.plan(
        """
        [cgroup."."]
        memory.max = "256M"
        memory.high = 1000
        memory.low = "50%"
        memory.min = "max"
        memory.swap.max = "1M"
        memory.swap.high = "max"
        memory.oom.group = true
        pids.max = 9
    """.replace('"max"\n        memory.swap.max', '"1M"\n        memory.swap.max')
    )
    assert made.settings == (
        control("/"),
        control("/", "pids"),
        setting("/t", "memory.max", 256 * M),
        setting("/t", "memory.high", 1000),
        setting("/t", "memory.low", 128 * M),
        setting("/t", "memory.min", M),
        setting("/t", "memory.swap.max", M),
        setting("/t", "memory.swap.high", "max"),
        setting("/t", "memory.oom.group", 1),
        setting("/t", "pids.max", 9),
        setting("/t", "memory.zswap.max", 0, optional=True),
    )


ZEROS = {
    **dict.fromkeys(["memory.max", "memory.high", "memory.low", "memory.min"], "0"),
    **dict.fromkeys(["memory.swap.max", "memory.swap.high", "memory.zswap.max"], '"0"'),
    "pids.max": "0",
    "memory.oom.group": "false",
}


@pytest.mark.parametrize("cgroup", [".", "child", "child/inner"])
@pytest.mark.parametrize(("file", "value"), ZEROS.items())
def test_a_value_of_0_is_written(files, file, value, cgroup):
    optional = "swap" in file  # a kernel without swap has no such file, and no swap either
    made = files.plan(
        f"""
        [cgroup."."]
        memory.swap.max = "64M"
        [cgroup."{cgroup}"]
        {file} = {value}
    """
        if cgroup != "."
        else f'[cgroup."."]\n{file} = {value}'
    )
    path = "/t" if cgroup == "." else f"/t/{cgroup}"
    assert setting(path, file, 0, optional) in made.settings
    shown = f"write   {path}/{file} = 0{' (if the kernel has it)' * optional}"
    assert shown in describe(made)


@pytest.mark.parametrize("share", ["0%", "0.00001%"])
def test_a_percentage_that_amounts_to_0_is_written(files, share):
    made = files.plan(f'[cgroup.a]\nmemory.max = "{share}"\nmemory.high = "50%"')
    assert setting("/t/a", "memory.max", 0) in made.settings
    assert setting("/t/a", "memory.high", 0) in made.settings


def test_controllers_are_enabled_where_children_need_them(files):
    made = files.plan("""
        [cgroup."a/b"]
        pids.max = 5
        [cgroup.c]
        [hog.x]
        size = 0
        cgroup = "c/"
    """)
    assert made.cgroups == ("/t", "/t/a", "/t/a/b", "/t/c", "/t/c/x")
    assert [s for s in made.settings if "subtree" in s.file] == [
        control("/"),
        control("/", "pids"),
        control("/t"),
        control("/t", "pids"),
        control("/t/a"),
        control("/t/a", "pids"),
        control("/t/c"),
    ]


@pytest.mark.parametrize(
    ("site", "file", "parent"),
    [
        (None, None, ""),
        ("/", None, ""),
        ("/a.slice/b", None, "/a.slice/b"),
        (None, "/of/file/", "/of/file"),
        ("/of/option", "/of/file", "/of/option"),
    ],
)
def test_the_top_is_made_in_a_parent_and_the_root_is_left_alone(files, site, file, parent):
    text = f'parent = "{file}"\n[[call]]' if file else "[[call]]"
    made = files.plan(text, site=Site(lambda: "t", 1 << 30, site))
    assert made.cgroups == (f"{parent}/t",)
    assert made.settings[0] == control(parent or "/")
    assert made.steps[0].call.target == f"{parent}/t"


def test_percentages_are_of_the_nearest_limit_or_of_the_machine(files):
    made = files.plan("""
        [cgroup.a]
        memory.max = "50%"
        [cgroup."a/b"]
        memory.max = "25%"
        memory.low = "50%"
        [cgroup."a/b/c"]
        [hog.machine]
        size = "1%"
        [hog.in_a]
        size = "10%"
        cgroup = "a/"
        [hog.in_c]
        size = "12.5%"
        cgroup = "a/b/c"
    """)
    values = {(s.cgroup, s.file): s.value for s in made.settings}
    assert values["/t/a", "memory.max"] == str(1024 * M)
    assert values["/t/a/b", "memory.max"] == str(256 * M)
    assert values["/t/a/b", "memory.low"] == str(128 * M)
    sizes = {hog.name: hog.size for hog in made.hogs}
    assert sizes == {
        "machine": 2048 * M // 100 & ~4095,
        "in_a": 1024 * M // 10 & ~4095,
        "in_c": 32 * M,
    }


def test_percentages_ignore_a_limit_of_max(files):
    made = files.plan("""
        [cgroup.a]
        memory.max = "max"
        [hog.x]
        size = "50%"
        cgroup = "a"
    """)
    assert made.hogs[0].size == 1024 * M


def in_existing(children_get, *hogs):
    site = replace(SITE, existing=Existing("/x", children_get))
    return plan(of_options(hogs, model.Call(order=3, target="/x")), site)


def test_an_existing_cgroup_is_not_changed():
    hog = Hog("a", M)
    bare = in_existing({"memory"})
    assert (bare.cgroups, bare.settings, bare.hogs, bare.top) == ((), (), (), "/x")
    joined = in_existing((), hog)
    assert joined.hogs == (Hog("a", M, 0, "/x", entry="a"),)
    assert (joined.cgroups, joined.settings, joined.top) == ((), (), "/x")

    made = in_existing({"memory", "pids"}, hog)
    assert made.cgroups == ("/x/t", "/x/t/a")
    assert made.settings == (control("/x/t"),)
    assert made.hogs == (Hog("a", M, 0, "/x/t/a", entry="a"),)
    assert made.steps == (Step(Call("/x", 3, 1)),)
    assert made.top == "/x"

    without = in_existing({"pids"}, hog)
    assert (without.settings, without.cgroups) == ((), ("/x/t", "/x/t/a"))
