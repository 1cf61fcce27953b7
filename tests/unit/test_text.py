"""Words of other people on terminals and in a shell's command lines."""

import subprocess

from hypothesis import example, given
from hypothesis import strategies as st

from oomctl.text import printable, quoted

WORDS = [
    *("", "plain", "a b", r"dev-disk-by\x2did.swap", "it's", "$(x)", "`x`", "-n", "é", "a/b.c"),
    *("\x1b[2J", "a\nb", "\x01'\\7", "\x7f0", "\u202ex", "\udcff0", "\t\x85", "'\x1b'"),
]


def test_bash_reads_back_what_is_quoted():
    line = " ".join(["printf", r"'%s\0'", *map(quoted, WORDS)])
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == b"".join(f"{word}\0".encode(errors="surrogateescape") for word in WORDS)


@given(st.text())
@example("\udcff")
@example("\ud800")
def test_what_is_quoted_can_be_shown(text):
    assert printable(quoted(text)) == quoted(text)
