"""Colour by meaning for a terminal: words of results are found in text that is laid out already.

So a colour changes no column. Meanings: red for what was killed or failed, green for what survived,
passed or was as wanted, yellow for what was skipped, could not be tested or needs attention.
"""

import re
from collections.abc import Iterable

from oomctl.oom.enums import HostPhase, VerdictName
from oomctl.oom.verdict import Verdict

_RED, _GREEN, _YELLOW, _DIM = "31", "32", "33", "2"
_WORDS = {
    _RED: (
        *("oom-killed", "cgroup-killed", "dying", "failed", "NO", "missing", "die", "killed"),
        *(HostPhase.KERNEL_DIED, HostPhase.UNREACHABLE),
    ),
    _GREEN: ("survived", "passed", "live", "yes", "ok", HostPhase.DONE),
    _YELLOW: ("skipped", "untested", "warning", HostPhase.REFUSED, HostPhase.LOST),
}
_LABELS = {
    **dict.fromkeys(("error", "changed", "too slow", "differs", "FAILED"), _RED),
    **dict.fromkeys(("note", "unclear", "skipped"), _YELLOW),
    **dict.fromkeys(("unchanged", "same"), _GREEN),
}
_TONE_OF = {word: tone for tone, words in _WORDS.items() for word in words}
_VERDICTS = {str(name): _GREEN if Verdict(name, "").as_wanted else _RED for name in VerdictName}


def _any(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


_FOUND = re.compile(
    # what `oomctl watch` prints: the header of its rows, then the task, or in a row its role
    r"(?P<header>^time +invoker[^\n]*$)"
    r"|(?<=\d  )(?P<kill>[^\n]*? killed \((?:victim|sharer|exiting)\))(?=, rss)"
    r"|(?<=  )(?P<role>victim|sharer|exiting)(?= +(?:[\d.]+[KMGT]?|-) +(?:\d+|-)  )"
    rf"|^(?P<label>{_any(_LABELS)})(?=  |:)"
    rf"|(?<=^verdict   )(?P<verdict>{_any(_VERDICTS)})(?=:)"
    # a whole cell, or the begin of one, but not of a header, which has a rule below it
    rf"|(?<=  )(?P<word>{_any(_TONE_OF)})(?= *$|  | \()(?![^\n]*\n-[- ]+$)"
    r"|(?<![\w.])(?P<number>[1-9][0-9]* (?:passed|failed|skipped))(?=, |$)"
    r"|(?P<unexplained>NOT EXPLAINED)"
    r"|^(?P<rule>-[- ]+)$",
    re.MULTILINE,
)


def coloured(text: str) -> str:
    """Return text with the colours that its words mean."""
    return _FOUND.sub(_toned, text)


def _toned(found: re.Match[str]) -> str:
    word = found[0]
    tone = {
        "label": _LABELS.get(word),
        "verdict": _VERDICTS.get(word),
        "word": _TONE_OF.get(word),
        "number": _TONE_OF.get(word.rpartition(" ")[2]),
        "unexplained": _RED,
        "kill": _YELLOW if word.endswith("(exiting)") else _RED,
        "role": _YELLOW if word == "exiting" else _RED,
    }.get(found.lastgroup or "", _DIM)
    return f"\x1b[{tone}m{word}\x1b[0m"
