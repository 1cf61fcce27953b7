"""One record of the kernel log. Pure."""

import re
from dataclasses import dataclass

# What is not printable, and the backslash, comes as \x5c: kernel/printk/printk.c, msg_add_ext_text
_HEAD = re.compile(
    rb"(?P<priority>[0-9]{1,20}),(?P<sequence>[0-9]{1,20}),(?P<time_us>[0-9]{1,20})"
    rb"(?:,(?P<flag>[^,;]*)(?:,(?:caller=(?P<caller>[^,;]*)|[^,;]*))*)?(?:;|\Z)"
)
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
    head = _HEAD.match(raw)
    if not head or int(head["priority"]) >> 3:
        return None
    line = raw[head.end() :].partition(b"\n")[0]
    if b"\\x" in line:
        line = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), line)
    return Record(
        int(head["sequence"]),
        int(head["time_us"]),
        line.decode(errors="surrogateescape"),
        continued=head["flag"] == b"c",
        caller=(head["caller"] or b"").decode(errors="surrogateescape"),
    )
