"""The guest's streams: the command's bytes stay whole, the lab's records come out."""

from hypothesis import given
from hypothesis import strategies as st

from oomctl.lab.stream import Stream

NONCE = "0123456789abcdef"


def record(word):
    return b"\0" + NONCE.encode() + b" " + word.encode() + b"\n"


def split(data, size):
    stream = Stream(NONCE)
    own = b"".join(stream.feed(data[i : i + size]) for i in range(0, len(data), size))
    return own + stream.rest(), stream.words


@given(
    before=st.binary(),
    after=st.binary(),
    end=st.integers(0, 255),
    size=st.integers(1, 70),
)
def test_any_bytes_in_any_pieces_come_through(before, after, end, size):
    data = record("begin") + before + record(str(end)) + after
    assert split(data, size) == (before + after, ["begin", str(end)])


@given(size=st.integers(1, 40))
def test_what_only_looks_like_a_record_is_the_commands(size):
    data = b"\0" + NONCE.encode()[:-1] + b"X 1\n\0\0" + NONCE.encode() + record("0") + b"\0"
    assert split(data, size) == (data.replace(record("0"), b""), ["0"])


def test_bytes_are_not_held_back_without_need():
    stream = Stream(NONCE)
    assert stream.feed(b"progress 10%\r") == b"progress 10%\r"
    assert stream.feed(b"a\0") == b"a"
    assert stream.feed(b"b") == b"\0b"


def test_a_record_cut_off_by_the_end_is_given_back():
    stream = Stream(NONCE)
    assert stream.feed(b"x" + record("0")[:-1]) == b"x"
    assert stream.rest() == record("0")[:-1]
    assert stream.words == []
