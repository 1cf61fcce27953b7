"""The patterns of the JSON schema take just those texts that the parsers take."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.scenario import names, patterns, values
from oomctl.scenario.fault import FieldError


def count_of_any_order(text):
    """Which of two numbers is larger is beyond a pattern."""
    low, dots, high = text.partition("..")
    turned = dots and low.isdigit() and high.isdigit() and int(low) > int(high)
    return values.count(f"{high}..{low}" if turned else text)


PARSERS = {
    "size": (values.size, patterns.SIZE, "0x1f8EeKMiB \n"),
    "amount": (values.amount, f"{patterns.SIZE}|{patterns.PERCENT}", "0x19.M% \t"),
    "part": (values.part, f"{patterns.SIZE}|{patterns.PART}", "019.% "),
    "time": (values.duration(), patterns.TIME, "0186.4mush "),
    "timeout": (values.duration(0.1), patterns.TIMEOUT, "0167.mush "),
    "count": (count_of_any_order, patterns.COUNT, "01."),
    "return": (values.returned, patterns.RETURN, "-02147EFOBUSYnoe"),
    "hog": (names.hog_name, patterns.HOG, "aZ0_-é\n"),
    "comm": (names.comm, patterns.COMM, "a \x7f\n"),
    "cgroup": (names.cgroup_name, patterns.CGROUP, "./a\n\0\\\x1b\udcff"),
    "absolute": (names.absolute, patterns.ABSOLUTE, "./a\n\0"),
    "existing": (names.existing_cgroup, patterns.EXISTING, "./sysfcgroup"),
    "target": (names.target, patterns.TARGET, "./a\n"),
}


def takes(parse, text):
    try:
        parse(text)
    except FieldError:
        return False
    return True


@pytest.mark.parametrize("kind", PARSERS)
def test_a_pattern_is_what_the_parser_takes(kind):
    parse, pattern, letters = PARSERS[kind]
    pattern = patterns.whole(pattern)
    near = st.from_regex(pattern) | st.text(letters, max_size=12)
    ends = st.sampled_from(["", "", "", "\n", " ", "/", "/..", "0", "K", "é"])

    @given(near, ends)
    def agree(text, end):
        text += end
        assert takes(parse, text) is bool(re.search(pattern, text)), text

    agree()


@given(st.integers(0, 10**20), st.integers(0, 10**20))
def test_numbers_up_to_a_limit(limit, number):
    pattern = re.compile(patterns.up_to(limit))
    assert pattern.fullmatch(str(limit))
    assert not pattern.fullmatch(str(limit + 1))
    assert bool(pattern.fullmatch(str(number))) is (number <= limit)
    assert not pattern.fullmatch(f"0{number}")


def test_every_errno_can_be_expected():
    assert values.returned("ENOTSUPP") == values.returned(-524) == values.returned("-524")
    assert values.returned("ERECALLCONFLICT") == values.returned(-530) == "ERECALLCONFLICT"
    assert values.returned("EWOULDBLOCK") == values.returned(-11) == "EAGAIN"
    assert values.returned(-95) == values.returned("ENOTSUP") == "EOPNOTSUPP"
    assert values.returned(-35) == "EDEADLK"
    assert values.returned(-4000) == values.returned("-4000") == "-4000"
