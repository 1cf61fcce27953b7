import pytest

from oomctl.oom.paths import ancestors, is_within, relative


@pytest.mark.parametrize(
    ("cgroup", "top", "expected"),
    [
        ("/a", "/a", True),
        ("/a/b", "/a", True),
        ("/a/b/c", "/a", True),
        ("/a", "/a/b", False),
        ("/ab", "/a", False),
        ("/ab/c", "/a", False),
        ("/", "/", True),
        ("/a", "/", True),
        ("/", "/a", False),
        ("a/b", "a", True),
        ("ab", "a", False),
    ],
)
def test_a_cgroup_is_within_itself_and_those_above(cgroup, top, expected):
    assert is_within(cgroup, top) is expected


@pytest.mark.parametrize(
    ("cgroup", "top", "expected"),
    [
        ("/a", "/a", "."),
        ("/a/b/c", "/a", "./b/c"),
        ("/ab", "/a", "/ab"),
        ("/", "/a", "/"),
        ("/", "/", "."),
        ("/a/b", "/", "./a/b"),
        ("/a", None, "/a"),
    ],
)
def test_a_path_is_shown_from_the_top_on(cgroup, top, expected):
    assert relative(cgroup, top) == expected


def test_what_is_above_a_cgroup():
    assert list(ancestors("/a/b")) == ["/", "/a", "/a/b"]
    assert list(ancestors("/")) == ["/"]
