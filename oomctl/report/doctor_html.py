"""Findings about a machine as one HTML page: what is missing first, with how to fix it."""

from collections.abc import Iterator

from oomctl import commandline
from oomctl.doctor import Examination, Finding, State
from oomctl.report import page
from oomctl.report.doctor_parts import conclusion

_TONES: dict[State, page.Tone] = {"missing": "bad", "warning": "warn", "ok": "good"}
_WORDS: dict[State, str] = {"missing": "unfit", "warning": "fit, with warnings", "ok": "fit"}
_HEADINGS: dict[State, str] = {"missing": "Missing", "warning": "Warnings", "ok": "In order"}


def render(examination: Examination) -> str:
    """Return the page."""
    return page.page(f"fitness of Linux {examination.kernel}", _page(examination))


def _page(examination: Examination) -> Iterator[str]:
    worst = next(state for state in _TONES if state == "ok" or examination.count(state))
    yield from page.top(_TONES[worst], _WORDS[worst], conclusion(examination).replace("`", ""))
    yield page.origin({"kernel": examination.kernel, **commandline.origin()})
    for state, heading in _HEADINGS.items():
        found = [each for each in examination.findings if each.state == state]
        if found:
            yield f'<h2><span class="{_TONES[state]}">{heading}</span></h2>'
            yield page.rows((each.name, _text(each)) for each in found)


def _text(finding: Finding) -> str:
    return f"{finding.found}. To fix it: {finding.fix}" if finding.fix else finding.found
