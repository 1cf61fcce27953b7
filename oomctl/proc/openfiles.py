"""How many files this process may have open, which bounds the tasks that it watches."""

import resource
from contextlib import suppress

OWN, PER_HOG = 64, 2
"""Open files of oomctl itself, and for each hog: its reports, its pidfd."""
_MANY = 1 << 17
"""Enough for 65,000 hogs, and below the default of fs.nr_open."""


def raise_limit() -> int:
    """Raise the limit as far as this process may, and return it; -1 is none.

    CAP_SYS_RESOURCE passes the hard limit (kernel/sys.c, do_prlimit()).
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, _MANY), hard) if hard != resource.RLIM_INFINITY else (hard,):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
