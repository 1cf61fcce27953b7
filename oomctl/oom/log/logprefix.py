"""What stands before the text of a kernel record in a saved log, known or learned. Pure."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass

from oomctl.oom.log import reporttext

_CLOCK = r"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?:Z|[+-]\d\d:?\d\d)?"
# weekdays, days and months in the language of some user stand before the time, in any order
_WALL = (
    rf"(?:[^\s\[\]]{{1,16}} )?\d{{4}}-\d\d-\d\d[T ]{_CLOCK}{_ZONE}"
    r"(?: (?:[A-Z]{3,5}|[+-]\d\d(?::?\d\d)?)(?= ))?"
    rf"|(?:[^\s:\[\]]{{1,16}} +){{1,4}}?{_CLOCK}(?: \d{{4}}(?= ))?|\d{{9,11}}\.\d{{3,9}}"
)
_LEVEL = r"(?:<(?P<{0}>\d{{1,3}})>)?(?:(?P<{1}>[a-z0-9]{{2,8}}) *:[a-z]{{3,7}} *: ?)?"
_TAG = r"(?:(?P<{}>[^\s:\[\]]{{1,255}}) )?kernel[\w.-]{{0,32}}(?:\[\d{{1,10}}\])?: ?"
_PREFIX = re.compile(
    rf"(?:> ?)*(?:MESSAGE=)?{_LEVEL.format('priority', 'facility')}"
    rf"(?:(?P<wall>{_WALL}) (?:std(?:out|err) [FP] )?)?"
    rf"(?:{_TAG.format('host')})?{_LEVEL.format('priority2', 'facility2')}"
    rf"(?:\[(?P<bracketed>[^\[\]]{{0,30}}?\d{{1,2}}:\d\d(?::\d\d)?[^\[\]]{{0,20}})\] ?)?"
    r"(?:\[ *(?P<uptime>\d{1,12}\.\d{1,9})(?: [<> \d.]{1,24})?\] ?"
    r"|\[ *[+<] *\d{1,12}\.\d{1,9}>?\] ?)?"
    rf"(?:{_TAG.format('host2')})?(?:\[ *(?P<caller>[TC]\d{{1,10}})\] ?)?"
)
_RFC5424 = re.compile(
    r"(?:<(?P<priority>\d{1,3})>)?1 (?P<wall>\d{4}-\d\d-\d\dT\S{8,30}) (?P<host>\S{1,255}) "
    r"(?P<program>\S{1,48}) \S{1,128} \S{1,32} (?:-|(?:\[[^\]]{0,1000}\])+) \ufeff?"
)
_OTHER_PROGRAM = re.compile(r"[^\s:\[\]{}=\"]{1,255} [\w./@-]{1,64}(?:\[\d{1,10}\])?: ")
# what a report's records begin with, in the middle of a line with an unknown prefix
_SOMEWHERE = re.compile(
    r"oom-kill:constraint=CONSTRAINT_|(?:Memory cgroup out|Out) of memory(?: \(\w{1,32}\))?: "
    r"(?:Kill|OOM victim)|Killed process \d{1,10}[ ,]|Tasks? in /|Memory cgroup stats for /"
    r"|memory: usage \d|Tasks state \(memory|\[ +pid +\] +uid|Mem-Info:"
    r"|Out of memory and no killable"
    r"|(?:^|(?<=[\]:>|)] )|(?<=[ \t=]))[^\s\]:>|=]{1,15} invoked oom-killer: "
)
_UPTIME = re.compile(r"\[ *\d{1,12}\.\d{6}\][ \[]")
_LONGEST = 300
_VARIES = re.compile(
    r"\d+|(?<![A-Za-z])(?:emerg|alert|crit|err|error|warn|warning|notice|info|debug|[EWIND])"
    r"(?![A-Za-z])"
)


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before a record; `when` is a wall clock, `uptime` in seconds since boot.

    `is_known` says that it is one of the kernel's own, or learned: no other one follows it.
    """

    host: str = ""
    caller: str = ""
    when: str = ""
    uptime: str = ""
    is_known: bool = False


NONE = Prefix()
"""Of a line without a prefix."""
_LEARNED = Prefix(is_known=True)
_PARTS = ("host", "host2", "wall", "bracketed", "uptime", "caller")
_WRITERS = ("priority", "priority2", "facility", "facility2")


class Prefixes:
    """Parts the prefixes of one text from its records; remembers one that it has learned."""

    def __init__(self) -> None:
        self._learned: re.Pattern[str] | None = None
        self._is_quoted = False

    def part(self, line: str) -> tuple[Prefix, str] | None:
        """Return the prefix of a line and the rest; None if another program wrote it."""
        start, of_line = 0, NONE
        if line[:1] in ("<", "1") and (syslog := _RFC5424.match(line)):
            if int(syslog["priority"] or 0) >> 3 or syslog["program"] != "kernel":
                return None
            start, of_line = syslog.end(), Prefix(host=syslog["host"], when=syslog["wall"])
        elif self._learned and (learned := self._learned.match(line)):
            start, of_line = learned.end(), _LEARNED
            if self._is_quoted:
                line = line[:start] + _unquoted(line[start:])
        indented = start or len(line) - len(line.lstrip(" \t"))
        found = _PREFIX.match(line, indented)
        assert found  # noqa: S101
        if not start and found.end() == indented:  # nothing but blanks, which may be a comm's
            # dmesg indents the lines of one record
            return NONE, line.lstrip(" ") if line.startswith("    ") else line
        # user space cannot write with facility 0, see parse_record()
        priority, priority2, facility, facility2 = found.group(*_WRITERS)
        if int(priority or 0) >> 3 or int(priority2 or 0) >> 3:
            return None
        if facility not in (None, "kern") or facility2 not in (None, "kern"):
            return None
        text = line[found.end() :]
        host, host2, wall, bracketed, uptime, caller = found.group(*_PARTS)
        host = host or host2 or of_line.host
        if wall and not host and of_line is NONE and _OTHER_PROGRAM.match(text):
            return None
        return Prefix(
            host=host,
            caller=caller or "",
            when=(wall or bracketed or of_line.when).strip(),
            uptime=uptime or "",
            is_known=bool(host or uptime or of_line.is_known),
        ), text

    def learn(self, line: str) -> bool:
        """Learn the prefix of a line, which is of an unknown kind, if it has a record behind it."""
        uptime = _UPTIME.search(line, 0, _LONGEST)
        if uptime and (found := _PREFIX.match(line, uptime.start())):
            rest = line[found.end() :]
            if reporttext.begins(rest) or reporttext.is_record(rest):
                return self._keep(line[: uptime.start()])
        somewhere = _SOMEWHERE.search(line[:4000])
        return self._keep(line[: somewhere.start()]) if somewhere else False

    def learn_before(self, begun: str, line: str) -> bool:
        """Learn the prefix of the line that names the invoker's PID; `begun` has its comm.

        A comm may look like the end of a prefix: only the second of these lines tells them apart.
        """
        found = reporttext.CPU.search(line, 0, _LONGEST)
        if not found:
            return False
        comms = (line[found.end() :][:size] for size in range(reporttext.COMM_MAX, -1, -1))
        if not any(f"{comm}{reporttext.INVOKES}" in begun for comm in comms):
            return False
        parted = self.part(line)
        if parted and not reporttext.CPU.match(parted[1]):
            uptime = _UPTIME.search(line, 0, found.start() + 1)
            self._keep(line[: uptime.start() if uptime else found.start()])
        return True

    def _keep(self, prefix: str) -> bool:
        """Keep the shape of a prefix: numbers, blanks and levels differ from line to line."""
        if not 0 < len(prefix) <= _LONGEST:
            return False
        levels = _VARIES.split(prefix)
        varying = [r"\d+" if each.isdigit() else "[A-Za-z]+" for each in _VARIES.findall(prefix)]
        parts = [re.sub(r"(?:\\ )+", " +", re.escape(each)) for each in levels]
        shape = "".join(part + var for part, var in zip(parts, [*varying, ""], strict=True))
        self._learned, self._is_quoted = re.compile(shape), prefix.endswith('"')
        return self._learned.match(prefix) is not None


def _unquoted(text: str) -> str:
    """Return a text up to its quote, without escapes, as CSV or "key=value" have it."""
    text = text.rpartition('"')[0] or text
    with suppress(ValueError):
        return str(json.loads(f'"{text}"'))
    return text.replace('""', '"')
