import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oomctl.units import format_duration, format_size, parse_duration, parse_size

KERNEL_READS = {
    "0": 0,
    "1": 1,
    "4096": 4096,
    "64M": 67_108_864,
    "64m": 67_108_864,
    "64Mi": 67_108_864,
    "64MiB": 67_108_864,
    "64mib": None,  # not a usual spelling
    "1K": 1024,
    "1G": 1 << 30,
    "3T": 3 << 40,
    "2P": 2 << 50,
    "7E": 7 << 60,
    "0x10": 16,
    "0X1f": 31,
    "0x10M": 16 << 20,
    "0x1E": 30,  # E is a digit here, for memparse() too
    " 5k\n": 5120,
    str(2**63 - 1): 2**63 - 1,
}


@pytest.mark.parametrize(
    ("text", "size"), [(t, s) for t, s in KERNEL_READS.items() if s is not None]
)
def test_size_is_read_as_the_kernel_does(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "M", "i", "iB", "64Q", "64MB", "64mib", "64 M", "1.5G", "-1", "+1", "1e6", "0x"),
        *("0xM", "64M,", "64MM", "6_4", "٣M", "max", "inf", "nan", "1\n2", "64i", "64iB", "64B"),
        *("8E", str(2**63), "9" * 40 + "E", "9" * 5000, "0x" + "f" * 30, "010", "007M", "00"),
    ],
)
def test_text_that_is_not_a_size_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match=r"^['\"].*['\"] (is|begins)") as caught:
        parse_size(text)
    assert "\n" not in str(caught.value)


@given(st.text())
@example("0x")
@example("\x00M")
def test_any_text_is_a_size_or_a_value_error(text):
    try:
        size = parse_size(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert 0 <= size < 2**63


@given(st.integers(0, 7), st.sampled_from(["", "K", "M", "G", "T", "P", "E"]), st.booleans())
def test_suffixes_are_powers_of_1024(number, suffix, lower):
    power = " KMGTPE".index(suffix) if suffix else 0
    text = f"{number}{suffix.lower() if lower else suffix}"
    assert parse_size(text) == number * 1024**power


@given(st.integers(0, 2**63 - 1))
def test_an_exact_rendering_reads_back(size):
    text = format_size(size)
    if "." in text:
        number, suffix = float(text[:-1]), text[-1]
        unit = 1024 ** " KMGTPE".index(suffix)
        assert abs(number * unit - size) <= unit * 0.051
    else:
        assert parse_size(text) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (math.inf, "max"),
        (0, "0"),
        (1023, "1023"),
        (1024, "1K"),
        (1025, "1.0K"),
        (1536, "1.5K"),
        (64 << 20, "64M"),
        (-(64 << 20), "-64M"),
        ((1 << 30) - 1, "1024.0M"),
        (112 << 20, "112M"),
    ],
)
def test_sizes_for_people(size, text):
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "-"),
        (0, "0 ns"),
        (999, "999 ns"),
        (1000, "1.00 us"),
        (12_345, "12.3 us"),
        (123_456, "123 us"),
        (1_234_567, "1.23 ms"),
        (98_765_432, "98.8 ms"),
        (2_000_000_000, "2.00 s"),
        (86_400_000_000_000, "86400 s"),
        (-1_500_000, "-1.50 ms"),
    ],
)
def test_durations_for_people(ns, text):
    assert format_duration(ns) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        ("1.5", 1.5),
        ("100ms", 0.1),
        ("250us", 0.00025),
        (" 2s\n", 2.0),
        ("2 s", 2.0),
        ("1m", 60.0),
        ("1.5h", 5400.0),
    ],
)
def test_a_time_is_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "+1", "1e3", "1,5", ".5", "1.", "nan", "inf", "1 d", "1M", "1 2", "٣s"]
)
def test_text_that_is_not_a_duration_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match=r"^'.*' is not a time; write seconds, or such as '100ms'"):
        parse_duration(text)


@given(st.text() | st.text(alphabet="0123456789.ums h", max_size=12))
def test_any_text_is_a_time_or_a_value_error(text):
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert 0 <= seconds < 1e19
