import io

from hypothesis import given
from hypothesis import strategies as st

from oomctl.files import loglines
from oomctl.files.loglines import telling_lines


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
    before, loglines._PIECE = loglines._PIECE, piece
    try:
        assert lines(data, wants_all=True) == data.removesuffix(b"\n").split(b"\n") * bool(data)
    finally:
        loglines._PIECE = before
