"""Text for terminals: names of tasks and cgroups may contain any byte. Pure."""

import shlex

_LONG = 60


def printable(text: str) -> str:
    r"""Return text that no terminal acts on: a character that is not printable becomes \x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def quoted(text: str) -> str:
    """Return a word for a shell's command line that a terminal can show and bash reads back."""
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_for_bash, text))}'"


def cut(text: str) -> str:
    """Shorten text that would fill the screen."""
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def shortened(text: str, width: int) -> str:
    """Cut the middle of a text that is wider; the end of a path is the most useful part."""
    if len(text) <= width or "\n" in text:
        return text
    end = (2 * width - 3) // 3
    return f"{text[: width - 3 - end]}...{text[len(text) - end :]}" if width > 6 else text[:width]


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: 1 hog, 2 hogs."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte that was not UTF-8, see PEP 383
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def _for_bash(char: str) -> str:
    if char.isprintable():
        return f"\\{char}" if char in "\\'" else char
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"\\{byte:03o}" for byte in char.encode(errors=errors))
