"""One record of the kernel log. Pure."""

import re
from typing import NamedTuple

# What is not printable, and the backslash, comes as \x5c: kernel/printk/printk.c, msg_add_ext_text
HEAD = re.compile(
    rb"([0-9]{1,20}),([0-9]{1,20}),([0-9]{1,20})"
    rb"(?:,([^,;]*)(?:,(?:caller=([^,;]*)|[^,;]*))*)?(?:;|\Z)"
)
"""Priority and facility, sequence number, time in microseconds, flag, caller; or None each."""
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


class Record(NamedTuple):
    """One record of the kernel log: sequence number, time in microseconds since boot, text.

    `continued` marks the rest of a record that was too long; `caller` is empty without
    CONFIG_PRINTK_CALLER; `after_loss` says that records before this one were lost. Of a
    saved text, `when` is the time as it is written there, `host` the machine that it names, and
    `loose` says that such a text does not mark what is continued. Unless `since_boot`, only the
    differences of `time_us` mean anything, and it is 0 without a time.
    """

    sequence: int
    time_us: int
    text: str
    continued: bool = False
    caller: str = ""
    after_loss: bool = False
    when: str = ""
    host: str = ""
    loose: bool = False
    since_boot: bool = True


def parse_record(raw: bytes) -> Record | None:
    """Parse one read of /dev/kmsg; None if the kernel did not write it."""
    head = HEAD.match(raw)
    return record_after(head, raw) if head else None


def record_after(head: re.Match[bytes], raw: bytes) -> Record | None:
    """Return the record that a head begins; None if the kernel did not write it.

    User space can write any text to /dev/kmsg, but not with facility 0 (kernel/printk/printk.c,
    devkmsg_write).
    """
    priority, sequence, time_us, flag, caller = head.groups()
    if int(priority) >> 3:
        return None
    line = raw[head.end() :].partition(b"\n")[0]
    if b"\\x" in line:
        line = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), line)
    text = line.decode("utf-8", "surrogateescape")
    name = caller.decode("utf-8", "surrogateescape") if caller else ""
    return Record(int(sequence), int(time_us), text, flag == b"c", name)
