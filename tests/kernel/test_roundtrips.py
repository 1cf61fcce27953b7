"""The kernel's reports of random trees: explained, and made again with the same victim.

OOMCTL_ROUNDTRIPS is the number of trees, OOMCTL_ROUNDTRIPS_FROM the first of them.
"""

import json
import os

import psutil
import pytest

from oomctl import scenario
from oomctl.cgroup import hierarchy
from oomctl.errors import OomctlError
from oomctl.experiment.environment import require_kfunc
from oomctl.experiment.naming import unique_name
from oomctl.experiment.session import Session
from oomctl.proc.kmsg import Kmsg
from oomctl.scenario.planning import Site, plan
from tests.kernel.roundtrips import RoundTrip, as_dmesg
from tests.kernel.test_prediction import reclaim
from tests.kernel.trees import random_tree

COUNT = int(os.environ.get("OOMCTL_ROUNDTRIPS", "5"))
FROM = int(os.environ.get("OOMCTL_ROUNDTRIPS_FROM", "0"))


@pytest.fixture
def round_trip(swap_area, oomctl, tmp_path):
    """Declare a tree, explain the kernel's log of it, and run the scenario made of that."""
    site = Site(unique_name, psutil.virtual_memory().total)
    with Session(hierarchy.unified_root(), require_kfunc(), len) as session, Kmsg() as kmsg:

        def run(tree):
            kmsg.read()
            with swap_area(tree.swap):
                outcome = session.run(tree.plan, lambda _hogs: reclaim(tree))
            log, made = tmp_path / "log", tmp_path / f"{tree.number}.toml"
            log.write_text(as_dmesg(kmsg.read().records), errors="surrogateescape")
            result = oomctl("explain", str(log), "--scenario", str(made), "-f", "json")
            if result.exit_code == 1:
                return RoundTrip(tree, outcome, None, None)
            assert result.exit_code == 0, result.stderr
            report = json.loads(result.stdout)["reports"][0]
            again = session.run(plan(scenario.load(made), site))
            return RoundTrip(tree, outcome, report, again)

        yield run


@pytest.mark.timeout(120 + 40 * COUNT)
def test_reports_of_random_trees_are_explained_and_the_same_task_dies_again(round_trip, capsys):
    agree, without, explained, wrong = 0, 0, [], []
    for number in range(FROM, FROM + COUNT):
        tree = random_tree(number)
        try:
            trip = round_trip(tree)
        except OomctlError as error:
            faults, doubt = [f"{error} {error.hint}"], ""
        else:
            faults, doubt = list(trip.faults()), trip.doubt
            without += trip.report is None
        if not faults:
            agree += 1
            continue
        (explained if doubt else wrong).append(number)
        with capsys.disabled():
            print(f"\ntree {number}: {doubt or tree}", *faults, sep="\n  ")
    with capsys.disabled():
        print(
            f"\n{COUNT} round trips: {agree} agree ({without} without a report, because no task "
            f"died), {len(explained)} explained, {len(wrong)} wrong"
        )
    assert wrong == []
