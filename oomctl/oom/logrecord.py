"""One record of the kernel log. Pure."""

import re
from dataclasses import dataclass

# What is not printable, and the backslash, comes as \x5c: kernel/printk/printk.c, msg_add_ext_text
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class Record:
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
    """Parse one read of /dev/kmsg; None if the kernel did not write it.

    User space can write any text to /dev/kmsg, but not with facility 0 (kernel/printk/printk.c,
    devkmsg_write).
    """
    head, _, body = raw.partition(b";")
    fields = head.split(b",")
    if len(fields) < 3 or not all(field.isdigit() and len(field) <= 20 for field in fields[:3]):
        return None
    priority, sequence, time_us = (int(field) for field in fields[:3])
    if priority >> 3:
        return None
    line = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), body.split(b"\n", 1)[0])
    caller = next((field[7:] for field in fields[4:] if field.startswith(b"caller=")), b"")
    return Record(
        sequence,
        time_us,
        line.decode(errors="surrogateescape"),
        continued=fields[3:4] == [b"c"],
        caller=caller.decode(errors="surrogateescape"),
    )
