"""What the kernel's files may hold: nearly right, wrong, binary, cut short."""

from hypothesis import strategies as st

from tests.hostile.pool import NUMBERS, SIZES, TERMINAL

_WORDS = [
    *(word.encode("utf-8", "surrogateescape") for word in (*NUMBERS, *SIZES, *TERMINAL)),
    *(b"oom_kill", b"populated", b"kB", b"max", b"(", b")", b":", b";", b",", b"\0", b"\xff"),
    *(b"some", b"full", b"total=1", b"total=", b"0::/a", b"0::", b"VmRSS:\t", b"Mems_allowed:\t"),
]
_lines = st.lists(st.sampled_from(_WORDS), max_size=5).map(b" ".join)
_text = st.lists(_lines, max_size=5).map(b"\n".join)
anything = st.binary(max_size=60) | _text | _text.map(lambda text: text + b"\n")


def near(*samples):
    """What is like one of these samples: cut, with a word put in, or something else altogether."""
    return _one(samples) | _spoiled(samples) | anything


@st.composite
def _one(draw, samples):
    return draw(st.sampled_from(samples))


@st.composite
def _spoiled(draw, samples):
    data = draw(st.sampled_from(samples))
    start = draw(st.integers(0, len(data)))
    stop = draw(st.integers(start, min(len(data), start + 12)))
    put = draw(st.sampled_from([b"", *_WORDS]) | st.binary(max_size=5))
    return data[:start] + put + data[stop:]
