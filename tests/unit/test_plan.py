import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oomctl import plan
from oomctl.errors import UsageError
from oomctl.plan import Call, Hog, Limits, Plan, Setting

M = 1 << 20


@pytest.mark.parametrize(
    ("text", "hog"),
    [
        ("64M", Hog("", 64 * M)),
        ("big=64M", Hog("big", 64 * M)),
        ("big=64M,adj=-1000", Hog("big", 64 * M, -1000)),
        ("64M,adj=+7", Hog("", 64 * M, 7)),
        ("a_b-C9=0x1000", Hog("a_b-C9", 4096)),
        ("fifteen-letters=1", Hog("fifteen-letters", 1)),
        ("empty=0", Hog("empty", 0)),
    ],
)
def test_hog_texts(text, hog):
    assert plan.parse_hog(text) == hog


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a size"),
        ("64Q", "'64Q' is not a size"),
        ("a=", "'' is not a size"),
        ("=1M", "cannot name a hog"),
        ("a/b=1M", "cannot name a hog"),
        ("..=1M", "cannot name a hog"),
        ("a=b=1M", "cannot name a hog"),
        ("sixteen-letters-=1M", "1 to 15 letters"),
        ("é=1M", "cannot name a hog"),
        ("a\n=1M", "cannot name a hog"),
        ("a=1M,", "'' is not adj=N"),
        ("a=1M,adj", "'adj' is not adj=N"),
        ("a=1M,adj=", "is not adj=N"),
        ("a=1M,adj=1.5", "is not adj=N"),
        ("a=1M,adj=٣", "is not adj=N"),
        ("a=1M,oom=5", "'oom=5' is not adj=N"),
        ("a=1M,adj=1001", "adj 1001 is out of range; it goes from -1000 to 1000"),
        ("a=1M,adj=-1001", "out of range"),
        ("a=1M,adj=5,adj=6", "given twice"),
        ("-1", "is not a size"),
    ],
)
def test_wrong_hog_texts_say_what_and_where(text, says):
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        plan.parse_hog(text)
    assert str(caught.value).startswith(f"--hog {text!r}: ")
    assert "\n" not in str(caught.value)


@given(st.text() | st.text(alphabet="aZ09_-=,.Mkxadj+/\n ", max_size=30))
@example("a=1M,adj=99999")
@example("=")
@example(",")
def test_any_text_is_a_hog_or_a_usage_error(text):
    try:
        hog = plan.parse_hog(text)
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert 0 <= hog.size < 2**63
        assert -1000 <= hog.oom_score_adj <= 1000
        assert hog.name == "" or len(hog.name) <= 15


names = st.from_regex(r"[A-Za-z0-9_-]{1,15}", fullmatch=True)


@given(names, st.integers(0, 2**63 - 1), st.integers(-1000, 1000))
def test_a_well_formed_hog_reads_back(name, size, adj):
    assert plan.parse_hog(f"{name}={size},adj={adj}") == Hog(name, size, adj)


def test_without_options_three_hogs_of_different_size():
    hogs = plan.plan_hogs([], None, None)
    assert [hog.name for hog in hogs] == ["small", "medium", "large"]
    assert len({hog.size for hog in hogs}) == 3


def test_hogs_are_numbered_where_they_have_no_name():
    hogs = plan.plan_hogs([Hog("a", 1), Hog("", 2)], 2, 3)
    assert [(hog.name, hog.size) for hog in hogs] == [
        ("a", 1),
        ("hog-2", 2),
        ("hog-3", 3),
        ("hog-4", 3),
    ]


def test_hogs_zero_means_none():
    assert plan.plan_hogs([], 0, None) == ()
    assert plan.plan_hogs([Hog("a", 1)], 0, None) == (Hog("a", 1),)


def test_hogs_have_a_size_of_their_own():
    assert plan.plan_hogs([], 1, None) == (Hog("hog-1", 32 * M),)


@pytest.mark.parametrize(
    ("given_hogs", "count", "size", "says"),
    [
        ([], None, M, "--size needs --hogs"),
        ([Hog("a", 1)], None, M, "--size needs --hogs"),
        ([], -1, None, "out of range"),
        ([], plan.MAX_HOGS + 1, None, "out of range"),
        ([Hog("a", 1), Hog("a", 2)], None, None, "two hogs are named 'a'"),
        ([Hog("hog-2", 1)], 1, M, "two hogs are named 'hog-2'"),
    ],
)
def test_hogs_that_do_not_go_together(given_hogs, count, size, says):
    with pytest.raises(UsageError, match=says):
        plan.plan_hogs(given_hogs, count, size)


@given(st.lists(st.builds(Hog, st.just("") | names, st.integers(0, M))), st.integers(0, 9))
def test_planned_hogs_have_distinct_names(given_hogs, count):
    try:
        hogs = plan.plan_hogs(given_hogs, count, None)
    except UsageError:
        given_names = [hog.name for hog in given_hogs if hog.name]
        clash = any(re.fullmatch(r"hog-\d+", name) for name in given_names)
        assert clash or len(set(given_names)) < len(given_names)
    else:
        assert len(hogs) == len(given_hogs) + count
        assert len({hog.name for hog in hogs}) == len(hogs)
        assert all(hog.name for hog in hogs)


def test_fresh_tree_has_a_leaf_for_each_hog():
    tree = plan.fresh_tree("t", [Hog("a", M), Hog("b", 2 * M, 5)], Limits(8 * M, 0, True))
    assert tree.cgroups == ("/t", "/t/a", "/t/b")
    assert tree.hogs == (Hog("a", M, 0, "/t/a"), Hog("b", 2 * M, 5, "/t/b"))
    assert tree.settings == (
        Setting("/", "cgroup.subtree_control", "+memory"),
        Setting("/t", "memory.max", str(8 * M)),
        Setting("/t", "memory.swap.max", "0", optional=True),
        Setting("/t", "memory.oom.group", "1"),
        Setting("/t", "cgroup.subtree_control", "+memory"),
    )


def test_fresh_tree_without_hogs_is_one_cgroup_that_gives_nothing():
    tree = plan.fresh_tree("t", [], Limits(memory_max=0))
    assert tree.cgroups == ("/t",)
    assert Setting("/t", "cgroup.subtree_control", "+memory") not in tree.settings


@pytest.mark.parametrize("limit", [0, 1, 3 * M - 1, 3 * M])
def test_a_limit_that_the_hogs_do_not_fit_in_is_refused(limit):
    with pytest.raises(UsageError, match="the hogs want 3M but --memory-max is"):
        plan.fresh_tree("t", [Hog("a", M), Hog("b", 2 * M)], Limits(limit))


def test_borrowed_tree_changes_nothing_of_the_cgroup_it_is_given():
    hogs = [Hog("a", M)]
    assert plan.borrowed_tree("/x", "t", [], {"memory"}) == ((), (), ())
    assert plan.borrowed_tree("/x", "t", hogs, ()) == ((), (), (Hog("a", M, 0, "/x"),))

    tree = plan.borrowed_tree("/x", "t", hogs, {"memory", "pids"})
    assert tree.cgroups == ("/x/t", "/x/t/a")
    assert {setting.cgroup for setting in tree.settings} == {"/x/t"}
    assert tree.hogs == (Hog("a", M, 0, "/x/t/a"),)

    no_memory = plan.borrowed_tree("/x", "t", hogs, {"pids"})
    assert no_memory.settings == ()
    assert no_memory.cgroups == ("/x/t", "/x/t/a")


@pytest.mark.parametrize(
    ("wait", "raw", "is_global", "flags"),
    [
        (None, None, False, 1),  # the kfunc's text: wait for a memcg
        (None, None, True, 0),  # do not wait for the whole system
        (True, None, True, 1),
        (False, None, False, 0),
        (None, 0, False, 0),
        (None, 6, True, 6),
        (None, plan.UINT64_MAX, False, plan.UINT64_MAX),
    ],
)
def test_flags(wait, raw, is_global, flags):
    assert plan.flags_of(wait, raw, is_global) == flags


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (0, "0"),
        (1, "WAIT_ON_OOM_LOCK"),
        (2, "0x2"),
        (3, "WAIT_ON_OOM_LOCK|0x2"),
        (plan.UINT64_MAX, "WAIT_ON_OOM_LOCK|0xfffffffffffffffe"),
    ],
)
def test_flags_by_name(flags, text):
    assert plan.flag_names(flags) == text


def test_describe_tells_every_step_in_order():
    tree = plan.fresh_tree("t", [Hog("a", M, -5)], Limits(4 * M, 0, True))
    whole = Plan(tree.cgroups, tree.settings, tree.hogs, Call("/t", 11, 2), repeat=3)
    assert plan.describe(whole) == [
        "write   /cgroup.subtree_control = +memory",
        "mkdir   /t",
        "write   /t/memory.max = 4194304",
        "write   /t/memory.swap.max = 0 (if the kernel has it)",
        "write   /t/memory.oom.group = 1",
        "write   /t/cgroup.subtree_control = +memory",
        "mkdir   /t/a",
        "hog     a: 1M of anonymous memory in /t/a, oom_score_adj -5",
        "call    bpf_out_of_memory(memcg of /t, order=11, flags=0x2), 3 times",
        "remove  hogs and cgroups",
    ]


def test_describe_of_a_call_alone():
    assert plan.describe(Plan((), (), (), Call(None, 0, 0))) == [
        "call    bpf_out_of_memory(NULL, order=0, flags=0)"
    ]


def test_describe_says_what_is_kept():
    whole = Plan(("/t",), (), (), Call("/t", 0, 0), keep=True)
    assert plan.describe(whole)[-1] == "keep    hogs and cgroups"
