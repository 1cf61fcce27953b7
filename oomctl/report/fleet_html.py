"""A fleet as one HTML page: hosts by groups of cases or by variants, and what went wrong where."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from oomctl import commandline
from oomctl.fleet.hosts import Host
from oomctl.fleet.results import FleetResult
from oomctl.oom.enums import HostPhase, VerdictName
from oomctl.oom.verdict import Verdict
from oomctl.report import kernels_html, page, smoke_html
from oomctl.report.fleet_parts import IN_SUITE, cell
from oomctl.report.page import escape
from oomctl.smoke.comparison import Comparison
from oomctl.text import counted

_BAD = {"failed", "missing", *(name for name in VerdictName if not Verdict(name, "").as_wanted)}
_UNSURE = {"skipped", "warning"}
_MOST = 8
"""Hosts that are named at the top."""


def render(result: FleetResult) -> str:
    """Return the page."""
    return page.page(f"a fleet of {counted(len(result.hosts), 'host')}", _page(result))


def _page(result: FleetResult) -> Iterator[str]:
    hosts = result.hosts
    lost = [host for host in hosts if host.phase != HostPhase.DONE]
    bad = [host for host in hosts if host not in lost and host.code]
    good = len(hosts) - len(lost) - len(bad)
    phases = Counter(host.phase.replace("-", " ") for host in lost)
    words = [f"{good} of {counted(len(hosts), 'host')} as wanted"]
    words += [f"{len(bad)} not as wanted"] if bad else []
    words += [f"{number} {phase}" for phase, number in phases.items()]
    lead = [f"{host.name}: {host.phase}{host.reason and f', {host.reason}'}" for host in lost]
    lead += [f"{host.name}: {_bad_text(host)}" for host in bad]
    is_good = good == len(hosts)
    badge: tuple[page.Tone, str] = ("good", "passed") if is_good else ("bad", "failed")
    yield from page.top(*badge, ", ".join(words), lead[:_MOST])
    if more := lead[_MOST:]:
        lines = "".join(f"<p>{escape(line)}</p>" for line in more)
        yield page.details(f"and {counted(len(more), 'more host')}", lines)
    yield page.origin(commandline.origin())
    yield "<h2>Hosts</h2>"
    yield _matrix(hosts)
    yield page.rows((host.name, host.left) for host in hosts if host.left)
    for host in hosts:
        if host.log:
            log = page.pre("\n".join(host.log))
            yield page.details(f"{host.name}: the end of its kernel log", log, True)
    if result.comparison:
        yield "<h2>Records of the hosts</h2>"
    if isinstance(result.comparison, Comparison):
        yield from smoke_html.body(result.comparison)
    elif result.comparison:
        yield from kernels_html.body(result.comparison)


def _bad_text(host: Host) -> str:
    """Say in a line what was not as wanted on a host."""
    found = Counter[str]()
    for counts in host.counts.values():
        found.update({word: number for word, number in counts.items() if word in _BAD})
    what = ", ".join(f"{number} {word}" for word, number in found.items())
    return what or host.reason or f"exit code {host.code}"


def _matrix(hosts: Sequence[Host]) -> str:
    groups = [*dict.fromkeys(group for host in hosts for group in host.counts)]
    heads = "".join(f"<th>{escape(each)}</th>" for each in ("host", "state", "kernel", *groups))
    rows = "".join(_row(host, groups) for host in hosts)
    suite = {word for host in hosts for counts in host.counts.values() for word in counts}
    means = ""
    if suite and suite <= {*IN_SUITE}:
        means = f'<p class="dim">numbers are cases: {", ".join(IN_SUITE)}</p>'
    return (
        f'{means}<div class="wide"><table class="cells cards"><thead><tr>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(host: Host, groups: Sequence[str]) -> str:
    state = "pass" if host.phase == HostPhase.DONE else "fail"
    cells = [
        ("host", "", host.name),
        ("state", state, host.phase),
        ("kernel", "", host.kernel or "-"),
        *((group, _kind(host.counts.get(group, {})), cell(host, group)) for group in groups),
    ]
    made = (
        f'<td class="{kind}" data-of="{escape(name)}">{escape(text)}</td>'
        for name, kind, text in cells
    )
    return f"<tr>{''.join(made)}</tr>"


def _kind(counts: Mapping[str, int]) -> str:
    words = {word for word, number in counts.items() if number}
    if words & _BAD:
        return "fail"
    return "pass" if words - _UNSURE else "skip"
