"""Errnos by name, with those that only the kernel uses. Pure."""

import errno
from collections.abc import Mapping

_OF_THE_KERNEL = {
    "ERESTARTSYS": 512,
    "ERESTARTNOINTR": 513,
    "ERESTARTNOHAND": 514,
    "ENOIOCTLCMD": 515,
    "ERESTART_RESTARTBLOCK": 516,
    "EPROBE_DEFER": 517,
    "EOPENSTALE": 518,
    "ENOPARAM": 519,
    "EBADHANDLE": 521,
    "ENOTSYNC": 522,
    "EBADCOOKIE": 523,
    "ENOTSUPP": 524,
    "ETOOSMALL": 525,
    "ESERVERFAULT": 526,
    "EBADTYPE": 527,
    "EJUKEBOX": 528,
    "EIOCBQUEUED": 529,
    "ERECALLCONFLICT": 530,
}
"""include/linux/errno.h"""
_ALSO = ("EDEADLOCK", "ENOTSUP", "EWOULDBLOCK")
"""Second names of user space, which the kernel does not print (lib/errname.c)."""

NUMBERS: Mapping[str, int] = {
    **{name: getattr(errno, name) for name in sorted(errno.errorcode.values())},
    **{name: getattr(errno, name) for name in ("EDEADLK", "EOPNOTSUPP", *_ALSO)},
    **_OF_THE_KERNEL,
}
"""Every errno by name, second names included."""
_NAMES = {number: name for name, number in NUMBERS.items() if name not in _ALSO}


def name_of(ret: int) -> str | None:
    """Return the name behind a negative return value, such as "EINVAL"; None if it has none."""
    return _NAMES.get(-ret)
