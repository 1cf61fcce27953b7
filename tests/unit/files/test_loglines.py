import bz2
import gzip
import io
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomctl.files import loglines
from oomctl.files.loglines import NotTextError, telling_lines


def lines(data, wants_all=False, longest=50, telling=(b"oom",)):
    return [*telling_lines(io.BytesIO(data), telling, lambda: wants_all, longest)]


def test_only_telling_lines_are_read_unless_all_are_wanted():
    data = b"a\nx oom\n\nb\noom"
    assert lines(data) == [b"x oom", b"oom"]
    assert lines(data, wants_all=True) == [b"a", b"x oom", b"", b"b", b"oom"]


def test_a_long_line_is_cut():
    data = b"oom" + b"x" * (3 * loglines._PIECE) + b"\noom 2\n"
    assert lines(data) == [b"oom" + b"x" * 47, b"oom 2"]


@given(st.binary(max_size=40), st.integers(1, 7))
def test_pieces_make_no_difference(data, piece):
    data = data and b"x" + data  # so that it is text
    before, loglines._PIECE = loglines._PIECE, piece
    try:
        assert lines(data, wants_all=True) == data.removesuffix(b"\n").split(b"\n") * bool(data)
    finally:
        loglines._PIECE = before


@pytest.mark.parametrize("piece", [5, 64, 1 << 18])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_becomes_utf_8(monkeypatch, encoding, piece):
    if encoding != "utf-16" and piece < 8:
        pytest.skip("without a mark it takes eight bytes to tell")
    monkeypatch.setattr(loglines, "_PIECE", piece)
    wanted = [
        ("\ufeff" * (encoding == "utf-16") + "oom " + 40 * "a").encode(),
        "ж\U0001f4a5 oom".encode(),
    ]
    assert lines(f"oom {40 * chr(97)}\nж\U0001f4a5 oom\n".encode(encoding)) == wanted


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(b"oom"), "compressed with gzip"),
        (lzma.compress(b"oom"), "compressed with xz"),
        (bz2.compress(b"oom"), "compressed with bzip2"),
        (b"\x28\xb5\x2f\xfd1234", "compressed with zstd"),
        (b"LPKSHHRH1234", "a file of the journal"),
    ],
)
def test_what_is_not_text_is_refused(data, what):
    with pytest.raises(NotTextError, match=what) as error:
        lines(data)
    assert "{}" in error.value.how
