import re
import time
from datetime import datetime, timedelta

import pytest

from oomctl.oom.kill import OomKill
from oomctl.oom.memcg import MemcgUsage
from oomctl.report import kills

M = 1 << 20
DAY_NS = 86_400 * 10**9


def kill(ago_ns=0, **more):
    return OomKill(time.monotonic_ns() - ago_ns, 7, "hog", "victim", M, **more)


NIGHT = datetime(2026, 11, 27, 0, 0, 5).astimezone()


class Night(datetime):
    """A clock that has stopped five seconds after midnight."""

    @classmethod
    def now(cls, tz=None):
        return NIGHT.astimezone(tz)


@pytest.mark.parametrize(
    ("seconds", "text"), [(2, "00:00:03.000"), (7, "11-26 23:59"), (90_000, "11-25 23:00")]
)
def test_a_kill_of_another_day_has_its_date(monkeypatch, seconds, text):
    monkeypatch.setattr(kills, "datetime", Night)
    at = NIGHT - timedelta(seconds=seconds)
    assert kills.render_block(kill(), None, at).startswith(f"{text}  hog:7")
    assert kills.render_row(kill(), None, at).startswith(f"{text:<12}  -")


def test_a_kill_of_long_ago_is_of_another_day():
    assert re.match(r"\d\d-\d\d \d\d:\d\d  hog:7", kills.render_block(kill(3 * DAY_NS), None))


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"constraint": "none"}, "  oom_memcg  - (constraint none)"),
        ({"constraint": "memcg", "memcg_id": 5}, "  oom_memcg  unknown id 5"),
        ({"memcg_id": 5 | 1 << 63}, "  oom_memcg  unknown id 5"),
        ({}, "  oom_memcg  -"),
        (
            {"memcg": "/a", "usage": MemcgUsage(2 * M, None, M, 4 * M)},
            "  oom_memcg  /a  2M of max, swap 1M of 4M",
        ),
        (
            {"memcg": "/a", "usage": MemcgUsage(M, M, kinds={"slab": 5, "anon": M, "pgscan": 99})},
            "  oom_memcg  /a  1M of 1M: anon 1M, slab 5",
        ),
        ({"cgroup": "/g", "group": "/g"}, "  victim     /g  memory.oom.group of /g"),
    ],
)
def test_what_is_known_of_a_cgroup(more, line):
    assert line in kills.render_block(kill(**more), None).splitlines()
