r"""Records of the kernel log in saved text, whatever wrote it. Pure.

Known are dmesg in all its forms, journalctl (short forms, `-o json`), syslog files, serial
consoles, raw /dev/kmsg and \x0a-escaped text. A prefix of another kind is learned from the first
record of an OOM report behind it. Lines of other programs are left out, if the text names them.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from oomctl.oom import reporttext
from oomctl.oom.logrecord import Record, parse_record

TELLING = (
    *(b"oom-kill", b"Kill process ", b"Killed process ", b"Tasks in /", b"OOM victim "),
    *(b"no killable processes", b"panic - not syncing", b"callbacks suppressed", b'"MESSAGE":['),
    b'"MESSAGE" : [',
)
"""What a line has one of if it begins a report, or is one by itself."""
LINE_MAX = 1 << 20
"""The bytes of a line that are read: the kernel's records are shorter."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})|#(012|011|033)")
_KMSG = re.compile(rb"\d{1,4},\d{1,20},\d{1,20},[-c+]")
_CLOCK = r"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?:Z|[+-]\d\d:?\d\d)?"
# weekdays, days and months in the language of some user stand before the time, in any order
_WALL = (
    rf"(?:[^\s\[\]]{{1,16}} )?\d{{4}}-\d\d-\d\d[T ]{_CLOCK}{_ZONE}(?: [A-Z]{{3,5}}(?= ))?"
    rf"|(?:[^\s:\[\]]{{1,16}} +){{1,4}}?{_CLOCK}(?: \d{{4}}(?= ))?|\d{{9,11}}\.\d{{3,9}}"
)
_LEVEL = r"(?:<(?P<{0}>\d{{1,3}})>)?(?:(?P<{1}>[a-z0-9]{{2,8}}) *:[a-z]{{3,7}} *: ?)?"
_TAG = r"(?:(?P<{}>[^\s:\[\]]{{1,255}}) )?kernel[\w.-]{{0,32}}(?:\[\d{{1,10}}\])?: ?"
_PREFIX = re.compile(
    rf"(?:> ?)*(?:MESSAGE=)?{_LEVEL.format('priority', 'facility')}(?:(?P<wall>{_WALL}) )?"
    rf"(?:{_TAG.format('host')})?{_LEVEL.format('priority2', 'facility2')}"
    r"(?:\[ *(?P<uptime>\d{1,12}\.\d{1,9})(?: <[ \d.]{1,20}>)?\] ?"
    rf"|\[(?P<bracketed>[^\[\]]{{0,30}}?\d{{1,2}}:\d\d(?::\d\d)?[^\[\]]{{0,20}})\] ?"
    r"|\[ *[+<] *\d{1,12}\.\d{1,9}>?\] ?)?"
    rf"(?:{_TAG.format('host2')})?(?:\[ *(?P<caller>[TC]\d{{1,10}})\] ?)?"
)
_OTHER_PROGRAM = re.compile(r"[^\s:\[\]]{1,255} [\w./@-]{1,64}(?:\[\d{1,10}\])?: ")
# what a report's records begin with, in the middle of a line with an unknown prefix
_SOMEWHERE = re.compile(
    r"oom-kill:constraint=CONSTRAINT_|(?:Memory cgroup out|Out) of memory(?: \(\w{1,32}\))?: "
    r"(?:Kill|OOM victim)|Killed process \d{1,10}[ ,]|Tasks? in /|Memory cgroup stats for /"
    r"|memory: usage \d|Tasks state \(memory|\[ +pid +\] +uid|Mem-Info:"
    r"|Out of memory and no killable"
    r"|(?:^|(?<=[\]:>|)] )|(?<=[ \t=]))[^\s\]:>|=]{1,15} invoked oom-killer: "
)
_UPTIME = re.compile(r"\[ *\d{1,12}\.\d{6}\][ \[]")
_QUOTED = re.compile(r'\s*"(?:msg|MESSAGE)" ?: (".*"),?\r?')  # of dmesg and journalctl
_AROUND = re.compile(r'\s*(?:[\[\]{},]*|"\w+" ?: ?.*)')  # what stands between these lines
_FIELD = re.compile(r" *(?!MESSAGE=)_{0,2}[A-Z][A-Z0-9_]*=")  # of `journalctl -o export`
_WRAPPED = ("message", "msg", "log")
_SURROGATE = re.compile("[\ud800-\udfff]")  # alone, as JSON may have it
_DAY_US = 86_400_000_000


class LogText:
    """Turns the lines of one text into records; remembers what the lines before had in front."""

    def __init__(self) -> None:
        self._learned: re.Pattern[str] | None = None
        self._day = 0
        self._is_json = False
        self._last = Record(0, 0, "", loose=True, since_boot=False)

    def records(self, line: bytes) -> Iterator[Record]:
        """Yield the records of a line without its end: none if the kernel did not write it."""
        if _KMSG.match(line):
            if record := parse_record(line):
                yield record
            return
        text = line.decode("utf-8", "surrogateescape").lstrip("\x1e").replace("\0", "")
        if text.startswith(("{", "data: {")):
            yield from self._journal(text.removeprefix("data: "))
            return
        if quoted := _QUOTED.fullmatch(text):  # JSON over several lines
            with suppress(ValueError):
                text, self._is_json = _SURROGATE.sub("\ufffd", json.loads(quoted[1])), True
        elif _FIELD.match(text) or (self._is_json and _AROUND.fullmatch(text)):
            return
        if "\x1b" in text:
            text = _ANSI.sub("", text)
        for part in text.split("\r"):
            if part:
                yield from self._line(part)

    def _line(self, line: str) -> Iterator[Record]:
        if "\\x" in line or "#0" in line:
            raw = _ESCAPED.sub(_unescaped, line).encode("utf-8", "surrogateescape")
            line = raw.decode("utf-8", "surrogateescape")
        # the comm of one record may hold a newline, or the line many records
        one = "\n" not in line or reporttext.is_record(_PREFIX.sub("", line, count=1))
        parts = [line] if one else line.split("\n")
        for part in filter(None, parts):
            if (record := self._record(part)) is not None:
                self._last = record
                yield record

    def _record(self, line: str) -> Record | None:
        """Return the record of a line; None if another program wrote it."""
        learned = self._learned.match(line) if self._learned else None
        found = _PREFIX.match(line, learned.end() if learned else 0)
        assert found  # noqa: S101
        text = line[found.end() :]
        if not found.end() and text.startswith("    "):  # dmesg indents the lines of one record
            text = text.lstrip(" ")
        host = found["host"] or found["host2"] or ""
        if any(int(found[name] or 0) >> 3 for name in ("priority", "priority2")):
            return None  # user space cannot write with facility 0, see parse_record()
        if any(found[name] not in (None, "kern") for name in ("facility", "facility2")):
            return None
        if found["wall"] and not host and _OTHER_PROGRAM.match(text) and not learned:
            return None
        is_known = learned or text.startswith(reporttext.BEGINNINGS) or reporttext.is_record(text)
        if not is_known and self._learns(line, text):
            return self._record(line)
        return self._timed(found, host, text)

    def _learns(self, line: str, text: str) -> bool:
        """Learn the prefix of a line, which is of an unknown kind, if it has a record behind it."""
        if not (found := _SOMEWHERE.search(text[:4000])):
            return False
        start = len(line) - len(text) + found.start()
        if (uptime := _UPTIME.search(line, 0, 300)) and uptime.start() < start:
            start = uptime.start()
        if not 0 < start <= 300:
            return False
        shape = re.sub(r"\d+", r"\\d+", re.escape(line[:start]))
        self._learned = re.compile(re.sub(r"(?:\\ )+", " +", shape))
        return self._learned.match(line) is not None

    def _timed(self, found: re.Match[str], host: str, text: str) -> Record:
        when = found["wall"] or found["bracketed"] or ""
        if uptime := found["uptime"]:
            seconds, _, fraction = uptime.partition(".")
            time_us, since_boot = int(seconds) * 1_000_000 + int(f"{fraction:0<6}"[:6]), True
        elif when:
            time_us, since_boot = self._wall_us(when), False
        elif found.end() or not self._last.text:
            time_us, since_boot = 0, False
        else:  # the rest of a record of several lines
            last = self._last
            time_us, since_boot, when = last.time_us, last.since_boot, last.when
            host = last.host
        caller = found["caller"] or ("" if found.end() else self._last.caller)
        return Record(
            0,
            time_us,
            text,
            caller=caller,
            when=when.strip(),
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

    def _journal(self, line: str) -> Iterator[Record]:
        """Yield the record of an entry of `journalctl -o json`, if it is the kernel's."""
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            yield from self._line(line)
            return
        if "MESSAGE" not in entry:  # a line that some collector of logs has wrapped
            inner = [entry[key] for key in _WRAPPED if isinstance(entry.get(key), str)]
            for each in "".join(inner[:1]).rstrip("\n").split("\n"):
                yield from self._line(_SURROGATE.sub("\ufffd", each))
            return
        text = entry["MESSAGE"]
        if isinstance(text, list):  # not UTF-8
            with_bytes = [each for each in text if isinstance(each, int) and 0 <= each < 256]
            text = bytes(with_bytes).decode("utf-8", "surrogateescape")
        writer = entry.get("_TRANSPORT", entry.get("SYSLOG_IDENTIFIER", "kernel"))
        if not isinstance(text, str) or writer != "kernel":
            return
        stamp = entry.get("_SOURCE_MONOTONIC_TIMESTAMP", entry.get("__MONOTONIC_TIMESTAMP"))
        known = isinstance(stamp, str) and stamp.isascii() and stamp.isdigit() and len(stamp) < 20
        host = entry.get("_HOSTNAME", "")
        text = text if isinstance(entry["MESSAGE"], list) else _SURROGATE.sub("\ufffd", text)
        for part in [text] if reporttext.is_record(text) else text.split("\n"):
            found = _PREFIX.match(part)
            assert found  # noqa: S101
            yield Record(
                0,
                int(stamp) if known else 0,
                part[found.end() :] if found["caller"] or found["uptime"] else part,
                caller=found["caller"] or "",
                when=_when(entry.get("__REALTIME_TIMESTAMP")),
                host=host if isinstance(host, str) else "",
                loose=True,
                since_boot=known,
            )


def _unescaped(found: re.Match[str]) -> str:
    """Return the byte that an escape stands for; a byte above 0x7f is a part of a character."""
    code = int(found[1], 16) if found[1] else int(found[2], 8)
    return chr(code) if code < 0x80 else chr(0xDC00 + code)


def _when(stamp: object) -> str:
    """Return the time of a journal's stamp, in microseconds since the epoch, as ISO 8601 in UTC."""
    if not isinstance(stamp, str) or not (stamp.isascii() and stamp.isdigit() and len(stamp) < 18):
        return ""
    return datetime.fromtimestamp(int(stamp) / 1e6, UTC).isoformat(timespec="milliseconds")
