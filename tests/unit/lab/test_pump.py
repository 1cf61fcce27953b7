"""The output of a machine is passed on in time, and little of it is kept."""

import os
import time

import pytest

from oomctl.lab.pump import LateError, Output, Tail, pump, write
from oomctl.lab.stream import Stream

NONCE = "0123456789abcdef"


@pytest.fixture
def pipe():
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as reader, open(write, "wb", buffering=0) as writer:
        yield reader, writer


def soon(seconds=0.2):
    return time.monotonic() + seconds


def test_a_reader_that_does_not_read_gets_until_the_deadline(pipe):
    _reader, writer = pipe
    begun = time.monotonic()
    with pytest.raises(LateError):
        write(writer.fileno(), b"x" * 1_000_000, soon())
    assert 0.1 < time.monotonic() - begun < 5


def test_a_reader_that_is_gone_is_an_error(pipe):
    reader, writer = pipe
    reader.close()
    with pytest.raises(BrokenPipeError):
        write(writer.fileno(), b"x", soon())


def test_a_file_takes_everything(tmp_path):
    data = os.urandom(100_000)
    with (tmp_path / "file").open("wb") as file:
        write(file.fileno(), data, soon(20))
    assert (tmp_path / "file").read_bytes() == data


def test_a_silent_machine_times_out(pipe):
    reader, _writer = pipe
    pumped = pump([(reader, Output(Stream(NONCE), None, soon()))], [], soon())
    assert pumped.timed_out
    assert pumped.word is None


def test_output_that_is_not_read_times_out(pipe, tmp_path):
    reader, writer = pipe
    full, plug = os.pipe()
    writer.write(b"x" * 50_000)
    os.write(plug, b"x" * 60_000)
    pumped = pump([(reader, Output(Stream(NONCE), plug, soon()))], [], soon(20))
    os.close(full)
    os.close(plug)
    assert pumped.timed_out


def test_begin_and_end_are_reported(pipe):
    reader, writer = pipe
    came = []
    mark = b"\0" + NONCE.encode()
    writer.write(mark + b" begin\nhello" + mark + b" 7\n")
    pumped = pump([(reader, Output(Stream(NONCE), came.append, soon(20)))], [], soon(20))
    assert (pumped.word, pumped.timed_out, b"".join(came)) == ("7", False, b"hello")
    assert pumped.boot


def test_a_tail_is_short_and_printable():
    tail = Tail()
    for _ in range(100):
        tail.take(b"x" * 10_000)
    tail.take(b"\n\x1b[2J\0\xff\tend\r\n")
    assert len(tail.kept) <= 65536
    *_, last, empty = tail.lines()
    assert last.startswith("\\x1b[2J\\x00\ufffd")
    assert (last.isprintable(), last.endswith(" end"), empty) == (True, True, "")


def test_a_machine_that_ends_is_not_waited_for_with_the_keyboard_open(pipe):
    reader, writer = pipe
    keyboard, keys = os.pipe()
    writer.close()
    stream = (reader, Output(Stream(NONCE), None, soon(20)))
    with open(keyboard, "rb", buffering=0) as typed, open(keys, "wb"):
        pumped = pump([stream], [], soon(20), extras=[(typed, Tail())])
    assert (pumped.word, pumped.timed_out) == (None, False)
