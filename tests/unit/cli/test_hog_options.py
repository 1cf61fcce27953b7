import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oomctl.cli import hog_options as hogs_of
from oomctl.errors import UsageError
from oomctl.oom.plan import Hog

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
    assert hogs_of.parse_hog(text) == hog


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
        hogs_of.parse_hog(text)
    assert str(caught.value).startswith(f"--hog {text!r}: ")
    assert "\n" not in str(caught.value)


@given(st.text() | st.text(alphabet="aZ09_-=,.Mkxadj+/\n ", max_size=30))
@example("a=1M,adj=99999")
@example("=")
@example(",")
def test_any_text_is_a_hog_or_a_usage_error(text):
    try:
        hog = hogs_of.parse_hog(text)
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert 0 <= hog.size < 2**63
        assert -1000 <= hog.oom_score_adj <= 1000
        assert hog.name == "" or len(hog.name) <= 15


names = st.from_regex(r"[A-Za-z0-9_-]{1,15}", fullmatch=True)


@given(names, st.integers(0, 2**63 - 1), st.integers(-1000, 1000))
def test_a_well_formed_hog_reads_back(name, size, adj):
    assert hogs_of.parse_hog(f"{name}={size},adj={adj}") == Hog(name, size, adj)


def test_without_options_three_hogs_of_different_size():
    hogs = hogs_of.plan_hogs([], None, None)
    assert [hog.name for hog in hogs] == ["small", "medium", "large"]
    assert len({hog.size for hog in hogs}) == 3


def test_hogs_are_numbered_where_they_have_no_name():
    hogs = hogs_of.plan_hogs([Hog("a", 1), Hog("", 2)], 2, 3)
    assert [(hog.name, hog.size) for hog in hogs] == [
        ("a", 1),
        ("hog-2", 2),
        ("hog-3", 3),
        ("hog-4", 3),
    ]


def test_hogs_zero_means_none():
    assert hogs_of.plan_hogs([], 0, None) == ()
    assert hogs_of.plan_hogs([Hog("a", 1)], 0, None) == (Hog("a", 1),)


def test_hogs_have_a_size_of_their_own():
    assert hogs_of.plan_hogs([], 1, None) == (Hog("hog-1", 32 * M),)


@pytest.mark.parametrize(
    ("given_hogs", "count", "size", "says"),
    [
        ([], None, M, "--size needs --hogs"),
        ([Hog("a", 1)], None, M, "--size needs --hogs"),
        ([Hog("a", 1), Hog("a", 2)], None, None, "two hogs are named 'a'"),
        ([Hog("hog-2", 1)], 1, M, "two hogs are named 'hog-2'"),
    ],
)
def test_hogs_that_do_not_go_together(given_hogs, count, size, says):
    with pytest.raises(UsageError, match=says):
        hogs_of.plan_hogs(given_hogs, count, size)


@given(st.lists(st.builds(Hog, st.just("") | names, st.integers(0, M))), st.integers(0, 9))
def test_planned_hogs_have_distinct_names(given_hogs, count):
    try:
        hogs = hogs_of.plan_hogs(given_hogs, count, None)
    except UsageError:
        given_names = [hog.name for hog in given_hogs if hog.name]
        clash = any(re.fullmatch(r"hog-\d+", name) for name in given_names)
        assert clash or len(set(given_names)) < len(given_names)
    else:
        assert len(hogs) == len(given_hogs) + count
        assert len({hog.name for hog in hogs}) == len(hogs)
        assert all(hog.name for hog in hogs)
