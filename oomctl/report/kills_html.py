"""The kills of a watch as one HTML page: how many, where and how large, then each in a row."""

from collections.abc import Iterator, Sequence

from oomctl import commandline
from oomctl.oom.as_text import task_name
from oomctl.oom.enums import Role
from oomctl.oom.kill import OomKill
from oomctl.report import page
from oomctl.report.bars import BarGroup, BarRow, tree
from oomctl.report.kills_saved import SavedKill, table
from oomctl.text import counted
from oomctl.units import format_size

_MOST, _NAMED = 200, 3


def render(found: Sequence[SavedKill]) -> str:
    """Return the page."""
    return page.page("OOM kills", _page(found))


def _page(found: Sequence[SavedKill]) -> Iterator[str]:
    groups: dict[str, list[SavedKill]] = {}
    for each in found[-_MOST:]:
        groups.setdefault(_where(each.kill), []).append(each)
    places = [
        f"{kills[0].kill.comm if len(kills) == 1 else len(kills)} of {name}"
        for name, kills in groups.items()
    ]
    more = f", {len(found) - sum(map(len, [*groups.values()][:_NAMED]))} more" * (
        len(places) > _NAMED
    )
    died = f"{counted(len(found), 'task')} died: {', '.join(places[:_NAMED])}{more}"
    yield from page.top(*(("bad", "killed", died) if found else ("good", "none", "no kill")))
    yield page.origin(commandline.origin())
    if left := len(found) - len(found[-_MOST:]):
        yield f'<p class="dim">the newest {_MOST} are shown, {left} older ones are not</p>'
    yield "<h2>What was out of memory, and the tasks that died of it</h2>"
    bars = [BarGroup(name, [*map(_bar, kills)], _limit(kills)) for name, kills in groups.items()]
    yield tree(bars, None, "")
    yield "<h2>Each kill</h2>"
    yield page.table(table(found[-_MOST:]))


def _where(kill: OomKill) -> str:
    return kill.memcg or ("the machine" if kill.constraint != "memcg" else "an unknown cgroup")


def _limit(kills: Sequence[SavedKill]) -> str:
    usage = kills[-1].kill.usage
    if usage is None:
        return counted(len(kills), "kill")
    limit = "max" if usage.limit is None else format_size(usage.limit)
    return f"{counted(len(kills), 'kill')}; limit {limit}, usage {format_size(usage.memory)}"


def _bar(each: SavedKill) -> BarRow:
    kill = each.kill
    role = "" if kill.role == Role.VICTIM else f", {kill.role}"
    end = f"{each.at:%H:%M:%S}, {format_size(kill.rss)}{role}"
    return BarRow(task_name(kill.comm, kill.pid), kill.rss or 0, end=end, dead=True)
