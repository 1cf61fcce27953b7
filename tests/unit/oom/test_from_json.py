"""A saved outcome is shown as it was when it was new."""

import json

import pytest

from oomctl.oom import as_json, from_json
from oomctl.oom.enums import FateKind
from oomctl.oom.fate import Fate
from oomctl.report import RENDERERS
from tests.outcomes import OUTCOMES


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_form_of_a_saved_outcome_is_that_of_the_new_one(name):
    new = OUTCOMES[name]
    saved = from_json.outcome(json.loads(RENDERERS["json"](new)))
    for form in RENDERERS.keys() - {"kcidb"}:  # its ids follow from unescaped names too
        assert RENDERERS[form](saved) == RENDERERS[form](new), form


@pytest.mark.parametrize(
    "fate",
    [
        *(Fate(kind) for kind in FateKind if kind not in ("exited", "killed")),
        *(Fate(FateKind.EXITED, status=3), Fate(FateKind.KILLED, signal=15)),
        Fate(FateKind.KILLED, signal=40),
    ],
)
def test_a_fate_is_read_back(fate):
    assert from_json.fate(str(fate), fate.signal_name) == fate


@pytest.mark.parametrize("spoil", [lambda t: t.pop("calls"), lambda t: t.update(verdict="odd")])
def test_what_oomctl_has_not_written_is_refused(spoil):
    tree = as_json.tree(OUTCOMES["default"])
    spoil(tree)
    with pytest.raises((KeyError, ValueError)):
        from_json.outcome(tree)
