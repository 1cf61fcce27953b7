"""The guest's streams: the command's bytes are complete, the lab's records are taken out."""

import re

from hypothesis import given
from hypothesis import strategies as st

from oomctl.lab.stream import Stream

NONCE = "0123456789abcdef"
RECORD = re.compile(rb"([a-z-]{1,31}|[0-9]{1,3})\n")


def record(word):
    return b"\0" + NONCE.encode() + b" " + word.encode() + b"\n"


def split(data, size):
    stream = Stream(NONCE)
    own = b"".join(stream.feed(data[i : i + size]) for i in range(0, len(data), size))
    return own + stream.rest(), stream.began, stream.word


@given(
    before=st.binary(),
    after=st.binary(),
    end=st.integers(0, 255),
    size=st.integers(1, 70),
)
def test_any_bytes_in_any_pieces_are_complete(before, after, end, size):
    data = record("begin") + before + record(str(end)) + after
    assert split(data, size) == (before + after, True, str(end))


@given(size=st.integers(1, 40))
def test_a_malformed_record_belongs_to_the_command(size):
    data = b"\0" + NONCE.encode()[:-1] + b"X 1\n\0\0" + NONCE.encode() + record("0") + b"\0"
    assert split(data, size) == (data.replace(record("0"), b""), False, "0")


def test_bytes_are_not_held_back_without_need():
    stream = Stream(NONCE)
    assert stream.feed(b"progress 10%\r") == b"progress 10%\r"
    assert stream.feed(b"a\0") == b"a"
    assert stream.feed(b"b") == b"\0b"


def test_a_record_cut_off_by_the_end_is_given_back():
    stream = Stream(NONCE)
    assert stream.feed(b"x" + record("0")[:-1]) == b"x"
    assert stream.rest() == record("0")[:-1]
    assert stream.word is None


@given(
    word=st.binary(max_size=40).filter(lambda word: not RECORD.match(word + b"\n")),
    size=st.integers(1, 70),
)
def test_a_mark_without_a_word_belongs_to_the_command(word, size):
    data = record("x")[:-2] + word + b"\n" + record("7") + b"end"
    assert split(data, size) == (data.replace(record("7"), b""), False, "7")


def test_a_record_without_an_end_is_not_waited_for():
    stream = Stream(NONCE)
    endless = record("x")[:-1] + b"x" * 1000
    assert stream.feed(endless) == endless
    assert stream.rest() == b""


def test_the_first_end_counts():
    assert split(record("3") + record("no-kfunc"), 5) == (b"", False, "3")


def test_words_that_were_executed_are_known_as_such():
    stream = Stream(NONCE)
    assert stream.feed(record("begin") + record("executed") + b"x" + record("0")) == b"x"
    assert (stream.began, stream.executed, stream.word) == (True, True, "0")
    assert not Stream(NONCE).executed
