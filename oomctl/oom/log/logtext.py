r"""Records of the kernel log in saved text, whatever wrote it. Pure.

Known are dmesg in all its forms, journalctl (all of its `-o`), syslog files, serial consoles, raw
/dev/kmsg, \x0a-escaped text and what collectors of logs wrap in JSON. A prefix of another kind is
learned from a record of an OOM report behind it. Lines of other programs are left out, if the text
names them.
"""

import re
from collections.abc import Iterator

from oomctl.oom.log import logentry, reporttext
from oomctl.oom.log.logentry import Entries, Message, message_of
from oomctl.oom.log.logprefix import NONE, Prefix, Prefixes
from oomctl.oom.log.logrecord import Record, parse_record

TELLING = (
    *(b"oom-kill", b"Kill process ", b"Killed process ", b"Tasks in /", b"OOM victim "),
    *(b"no killable processes", b"panic - not syncing", b"callbacks suppressed"),
    *logentry.TELLING,
)
"""What a line has one of if it begins a report, or is one by itself."""
LINE_MAX = 1 << 20
"""The bytes of a line that are read: the kernel's records are shorter."""

_ANSI = re.compile(
    r"(?:\x1b|#033)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|k[^\x1b]{0,200}\x1b\\|[ -/]*[0-~])"
)
# printk() and dmesg escape what is not printable; systemd's "\x2d" is a part of a cgroup's name
_ESCAPED = re.compile(r"\\x([01][0-9a-f]|5c|7f|[89a-f][0-9a-f])|#(012|011)")
_KMSG = re.compile(rb"(?:\d[\w.+~-]{0,63},)?(?=\d{1,4},\d{1,20},\d{1,20},[-c+])")
_DICTIONARY = re.compile(r" *_{0,2}[A-Z][A-Z0-9_]*=")  # of a record of /dev/kmsg
_NEWLINES = re.compile(r"\\n")
_DAY_US = 86_400_000_000
_HELD_MAX = 9


class LogText:
    """Turns the lines of one text into records; remembers what the lines before had in front."""

    def __init__(self) -> None:
        self._prefixes = Prefixes()
        self._entries = Entries()
        self._held: list[str] = []
        self._day = 0
        self._last = Record(0, 0, "", loose=True, since_boot=False)

    @property
    def wants_all(self) -> bool:
        """Whether the next line matters, whatever is in it."""
        return self._entries.is_inside or bool(self._held)

    def records(self, line: bytes) -> Iterator[Record]:
        """Yield the records of a line without its end: none if the kernel did not write it.

        The line that begins a report may come with a later one, which tells its prefix.
        """
        line = line.removeprefix(b"\xef\xbb\xbf")
        if found := _KMSG.match(line):
            if record := parse_record(line[found.end() :].rstrip(b"\r")):
                yield record
            return
        text = line.decode("utf-8", "surrogateescape").lstrip("\x1e").replace("\0", "")
        if self._entries.take(line, text.removesuffix("\r")):
            yield from self._taken()
            return
        yield from self._taken()
        if _DICTIONARY.match(text) and not text.startswith("MESSAGE=") and not _is_record(text):
            return
        if "\x1b" in text or "#033" in text:
            text = _ANSI.sub("", text)
        for part in text.split("\r"):
            if part:
                yield from self._line(part)

    def finish(self) -> Iterator[Record]:
        """Yield the records of the lines that no later line has explained."""
        self._entries.flush()
        yield from self._taken()
        yield from self._release()

    def _taken(self) -> Iterator[Record]:
        done, self._entries.done = self._entries.done, []
        for fields in done:
            if message := message_of(fields):
                yield from self._entry(message)

    def _line(self, line: str) -> Iterator[Record]:
        if "\\x" in line or "#01" in line:
            raw = _ESCAPED.sub(_unescaped, line).encode("utf-8", "surrogateescape")
            line = raw.decode("utf-8", "surrogateescape")
        _, begun, rest = line.partition(reporttext.INVOKES)
        if begun and "\\n" in rest:  # in no record: a text that was quoted as a string
            line = _NEWLINES.sub("\n", line)
        # the comm of one record may hold a newline, or the line many records
        parted = self._prefixes.part(line) if "\n" in line else None
        one = "\n" not in line or (parted and _is_record(parted[1]))
        for part in [line] if one else line.split("\n"):
            if not part:
                continue
            self._held.append(part)
            if not self._waits():
                yield from self._release()

    def _waits(self) -> bool:
        """Tell whether the prefix of the first line that is held may be told by a later one."""
        begun, line = self._held[0], self._held[-1]
        if reporttext.INVOKES not in begun or len(self._held) == _HELD_MAX:
            return False
        return len(self._held) == 1 or not self._prefixes.learn_before(begun, line)

    def _release(self) -> Iterator[Record]:
        held, self._held = self._held, []
        for line in held:
            if (record := self._record(line)) is not None:
                self._last = record
                yield record

    def _record(self, line: str) -> Record | None:
        """Return the record of a line; None if another program wrote it."""
        parted = self._prefixes.part(line)
        if parted and not parted[0].is_known:
            text = parted[1]
            is_known = reporttext.begins(text) or _is_record(text)
            if not is_known and self._prefixes.learn(line):
                parted = self._prefixes.part(line)
        return self._timed(*parted) if parted else None

    def _timed(self, prefix: Prefix, text: str) -> Record:
        last, host, when = self._last, prefix.host, prefix.when
        if prefix.uptime:
            seconds, _, fraction = prefix.uptime.partition(".")
            time_us, since_boot = int(seconds) * 1_000_000 + int(f"{fraction:0<6}"[:6]), True
        elif when:
            time_us, since_boot = self._wall_us(when), False
        elif prefix is not NONE or not last.text:
            time_us, since_boot = 0, False
        else:  # the rest of a record of several lines
            time_us, since_boot, when, host = last.time_us, last.since_boot, last.when, last.host
        return Record(
            0,
            time_us,
            text,
            caller=last.caller if prefix is NONE else prefix.caller,
            when=when,
            host=host,
            loose=True,
            since_boot=since_boot,
        )

    def _wall_us(self, when: str) -> int:
        """Return a time that grows with the log's, of which only differences mean anything."""
        clock = re.search(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)?", when)
        if not clock:
            return self._last.time_us
        hours, minutes, seconds, fraction = (clock[group] or "0" for group in range(1, 5))
        second = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
        time_us = second * 1_000_000 + int(f"{fraction:0<6}") + self._day
        if time_us < self._last.time_us - _DAY_US // 2 and not self._last.since_boot:
            self._day += _DAY_US
            time_us += _DAY_US
        return time_us

    def _entry(self, message: Message) -> Iterator[Record]:
        """Yield the records of an entry: it may be several lines, or have a prefix of its own."""
        is_one = _is_record(message.text)
        for part in [message.text] if is_one else message.text.split("\n"):
            if message.is_line:
                yield from self._line(part)
                continue
            parted = self._prefixes.part(part)
            prefix, text = parted or (NONE, part)
            yield Record(
                0,
                message.time_us or 0,
                text if prefix.caller or prefix.uptime else part,
                caller=prefix.caller or message.caller,
                when=message.when,
                host=message.host,
                loose=True,
                since_boot=message.time_us is not None,
            )


def _is_record(text: str) -> bool:
    return reporttext.is_record(text)


def _unescaped(found: re.Match[str]) -> str:
    """Return the byte that an escape stands for; a byte above 0x7f is a part of a character."""
    code = int(found[1], 16) if found[1] else int(found[2], 8)
    return chr(code) if code < 0x80 else chr(0xDC00 + code)
