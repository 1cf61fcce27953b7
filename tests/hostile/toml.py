"""Scenario texts that may be anything: written from values, mutated examples, bytes."""

import datetime
import json
import math
from pathlib import Path

from hypothesis import strategies as st

from tests.hostile.pool import NUMBERS, SIZES, TERMINAL, TIMES
from tests.scenario_texts import trees, valid_tables

EXAMPLES = [
    path.read_bytes() for path in sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
]


def written(value):
    """Return a value as TOML writes it; what TOML cannot hold comes out as something near."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if math.isnan(value) or math.isinf(value):
            return f"{value}"
        case int() | float() | datetime.date() | datetime.time():
            return str(value)
        case dict():
            pairs = (f"{json.dumps(key)} = {written(each)}" for key, each in value.items())
            return "{ " + ", ".join(pairs) + " }"
        case list() | tuple():
            return f"[{', '.join(map(written, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def document(tree):
    """Return a tree as a document."""
    return "".join(f"{json.dumps(key)} = {written(value)}\n" for key, value in tree.items())


@st.composite
def mutated(draw):
    """An example with a few pieces cut out, doubled, or replaced by what does not belong there."""
    data = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(start + draw(st.integers(0, 30)), len(data))
        piece = draw(st.sampled_from([b"", data[start:stop] * 2]) | _pieces)
        data = data[:start] + piece + data[stop:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


@st.composite
def revalued(draw):
    """An example with some of its values replaced, so that it is TOML still."""
    lines = draw(st.sampled_from(EXAMPLES)).decode().splitlines()
    places = [number for number, line in enumerate(lines) if " = " in line]
    for place in draw(st.lists(st.sampled_from(places), max_size=3)) if places else ():
        key, _, _old = lines[place].partition(" = ")
        lines[place] = f"{key} = {draw(_values)}"
    return "\n".join(lines).encode("utf-8", "surrogateescape")


_words = [
    *NUMBERS,
    *SIZES,
    *TIMES,
    *TERMINAL,
    "left",
    "left/",
    "./",
    "..",
    "/a/../b",
    "{",
    "[" * 99,
]
_quoted = st.sampled_from(_words).map(lambda word: json.dumps(word, ensure_ascii=False))
_values = st.sampled_from(_words) | _quoted | st.lists(_quoted, max_size=3).map(written)
_pieces = st.binary(max_size=8) | st.sampled_from(
    [word.encode("utf-8", "surrogateescape") for word in _words]
    + [b"[[call]]\n", b"[hog.a]\n", b"[cgroup.'.']\n", b"\n\n", b'"""', b"#", b"\xff", b"\0", b"="]
)

texts = st.one_of(
    mutated(),
    revalued(),
    (valid_tables() | trees).map(document).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(max_size=200),
)
"""What a scenario file may hold, as bytes."""
