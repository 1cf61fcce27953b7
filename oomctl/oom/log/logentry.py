"""Entries of a log whose fields have names: of journalctl, of dmesg in JSON, of collectors. Pure.

An entry is one line (`journalctl -o json`), or several (`journalctl -o json-pretty`, `-o export`
and `-o verbose`, `dmesg --json`). A JSON text may be an array of entries.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

Fields = dict[str, object]

TELLING = (
    *(b'"MESSAGE":[', b'"MESSAGE" : [', b'"dmesg": [', b"[s=", b"__CURSOR="),
    *(b"_TRANSPORT=", b'"_TRANSPORT" : "', b'"_TRANSPORT": "'),
    *(b"_HOSTNAME=", b'"_HOSTNAME" : "', b'"_HOSTNAME": "'),
)
"""What a line has one of if it is a part of an entry of several lines."""
WRAPPED = (
    *("message", "msg", "log", "line", "textPayload", "text", "body", "short_message", "_raw"),
    *("event", "content"),
)
"""The names that collectors of logs give to a line."""

_OBJECT = re.compile(r'(?:data: )?[\[,\s]*\{\s*"')
_BETWEEN = re.compile(r"[\[\],\s]*")
_PAIR = re.compile(r'"([^"\\]{1,64})" ?: *(.*?),?')
_NUMBER = re.compile(r"(\d{1,3}),?")
_FIELD = re.compile(r" *(_{0,2}[A-Z][A-Z0-9_]{0,63})=(.*)")
_NAME = re.compile(r"_{0,2}[A-Z][A-Z0-9_]{0,63}")
_READ = {
    *("MESSAGE", "_TRANSPORT", "SYSLOG_IDENTIFIER", "_HOSTNAME", "__REALTIME_TIMESTAMP"),
    *("_SOURCE_MONOTONIC_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "time", "caller", "pri", "fac"),
    *WRAPPED,
}
_OF_JOURNAL = frozenset(
    ("__CURSOR", "__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "_TRANSPORT", "_HOSTNAME")
)
_VERBOSE = re.compile(r"[^\[\]]{10,64}\[s=[0-9a-f]{1,32};i=[0-9a-f]{1,16};.{0,200}\]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder()
_MAX = 1 << 16  # characters of a message, and bytes of a field
_DEEP = 3


@dataclass(frozen=True)
class Message:
    """What an entry says; `is_line` if it is a line with its own prefix, which a collector wrapped.

    `time_us` is since boot, None if that is unknown, and `when` the time as the entry has it.
    """

    text: str
    time_us: int | None = None
    when: str = ""
    host: str = ""
    caller: str = ""
    is_line: bool = False


class Entries:
    """Takes the lines of a text; `done` are the entries that are complete."""

    def __init__(self) -> None:
        self.done: list[Fields] = []
        self.is_inside = False
        """Whether the text has entries of several lines, so that each line matters."""
        self._fields: Fields = {}
        self._bytes: list[int] | None = None
        self._binary = bytearray()
        self._name = ""

    def take(self, line: bytes, text: str) -> bool:
        """Take a line, which `text` is decoded; return whether it is a part of an entry."""
        if self._name:
            self._take_binary(line)
            return True
        bare = text.strip()
        if bare[:1] in ("{", "[", "d") and _OBJECT.match(text) and (found := _objects(text)):
            self.done += found
            return True
        if bare[:1] == '"' or (bare and not bare.strip("[]{}, ")) or self._bytes is not None:
            return self._take_pretty(bare)
        return (self.is_inside or bare[:1] == "_" or "[s=" in text) and self._take_field(text)

    def flush(self) -> None:
        """End the entry that is open."""
        if "MESSAGE" in self._fields or any(name in self._fields for name in WRAPPED):
            self.done.append(self._fields)
            self._fields = {}

    def _keep(self, name: str, value: object) -> None:
        if name in _READ:
            self._fields[name] = value

    def _take_pretty(self, text: str) -> bool:
        if self._bytes is not None and (found := _NUMBER.fullmatch(text)):
            if len(self._bytes) < _MAX:
                self._bytes.append(int(found[1]))
        elif self._bytes is not None:
            self._fields["MESSAGE"], self._bytes = self._bytes, None
        elif found := _PAIR.fullmatch(text):
            name, value = found[1], found[2]
            if name in self._fields:
                self.flush()
            self.is_inside = True
            if value == "[" and name == "MESSAGE":
                self._bytes = []
            with suppress(ValueError, RecursionError):
                self._keep(name, json.loads(value))
        elif text[:1] == '"':
            return False
        elif "{" in text or "}" in text:
            self.flush()
            if text.rstrip(", ")[-1:] == "{":
                self._fields = {}
        return True

    def _take_field(self, text: str) -> bool:
        found = _FIELD.fullmatch(text)
        if found and (self.is_inside or found[1] in _OF_JOURNAL):
            name, value = found[1], found[2]
            if name in self._fields:
                self.flush()
            self.is_inside = True
            self._keep(name, value)
            return True
        is_head = _VERBOSE.fullmatch(text) is not None
        self.is_inside |= is_head
        if not self.is_inside:
            return False
        if _NAME.fullmatch(text):
            self._name, self._binary = text, bytearray()
            return True
        if not text.strip() or is_head:
            self.flush()
            self._fields = {}
            return True
        message = self._fields.get("MESSAGE")
        if text.startswith(" " * 8) and isinstance(message, str):  # of `-o verbose`
            if len(message) < _MAX:
                self._fields["MESSAGE"] = f"{message}\n{text.strip()[:_MAX]}"
            return True
        self.flush()
        self.is_inside, self._fields = False, {}
        return False

    def _take_binary(self, line: bytes) -> None:
        """Take a line of a field of `-o export` that has more: 8 bytes of its size, and itself."""
        self._binary += line + b"\n"
        size = int.from_bytes(self._binary[:8], "little")
        if len(self._binary) < 8 or (len(self._binary) < 8 + size and size <= _MAX):
            return
        if size <= _MAX:
            value = self._binary[8 : 8 + size]
            self._keep(self._name, value.decode("utf-8", "surrogateescape"))
        self._name, self._binary = "", bytearray()


def _objects(text: str) -> list[Fields]:
    """Return the entries of one line of JSON; none if it is not JSON."""
    found: list[Fields] = []
    at = len("data: ") if text.startswith("data: ") else 0
    with suppress(ValueError, RecursionError):
        while (at := _end(text, at)) < len(text):
            value, at = _DECODER.raw_decode(text, at)
            _collect(value, found, 0)
    return found


def _end(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    return between.end() if between else at


def _collect(value: object, found: list[Fields], depth: int) -> None:
    """Find the entries in a value: those that have a message, also in what a collector wrapped."""
    if isinstance(value, list):
        for each in value:
            _collect(each, found, depth)
    elif isinstance(value, dict) and depth < _DEEP:
        if "MESSAGE" in value or any(isinstance(value.get(name), str) for name in WRAPPED):
            found.append(value)
        else:
            for each in value.values():
                if isinstance(each, dict | list):
                    _collect(each, found, depth + 1)


def message_of(fields: Fields) -> Message | None:
    """Return what an entry says; None if it is not the kernel's."""
    text = fields.get("MESSAGE")
    if "MESSAGE" in fields:
        writer = fields.get("_TRANSPORT", fields.get("SYSLOG_IDENTIFIER", "kernel"))
        if isinstance(text, list):  # not UTF-8
            numbers = [each for each in text if isinstance(each, int) and 0 <= each < 256]
            text = bytes(numbers).decode("utf-8", "surrogateescape")
        elif isinstance(text, str):
            text = _clean(text)
        if not isinstance(text, str) or writer != "kernel":
            return None
        stamp = fields.get("_SOURCE_MONOTONIC_TIMESTAMP", fields.get("__MONOTONIC_TIMESTAMP"))
        when = _number(fields.get("__REALTIME_TIMESTAMP"), 17)
        return Message(
            text,
            _number(stamp, 19),
            "" if when is None else _iso(when),
            _string(fields.get("_HOSTNAME")),
        )
    text, stamp = fields.get("msg"), fields.get("time")
    if isinstance(text, str) and isinstance(stamp, int | float) and 0 <= stamp < 1e12:
        priority = fields.get("pri")
        is_user = isinstance(priority, int) and priority >> 3
        if is_user or fields.get("fac", "kern") != "kern":
            return None
        time_us = round(stamp * 1_000_000)
        return Message(_clean(text), time_us, caller=_string(fields.get("caller")).strip())
    lines = (each for name in WRAPPED if isinstance(each := fields.get(name), str))
    return Message(_clean(next(lines, "").rstrip("\n")), is_line=True)


def _clean(text: str) -> str:
    """Return a text without what JSON may have of a character: half of it."""
    return _SURROGATE.sub("\ufffd", text)


def _string(value: object) -> str:
    return _clean(value) if isinstance(value, str) else ""


def _number(value: object, digits: int) -> int | None:
    known = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= digits
    return int(value) if known and isinstance(value, str) else None


def _iso(time_us: int) -> str:
    """Return a time in microseconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds")
