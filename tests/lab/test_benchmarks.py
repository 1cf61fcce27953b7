"""The rows of `make bench` that need the lab can be measured."""

import json
import subprocess
import sys

from tests.lab.guests import marks

pytestmark = marks(900)


def test_the_rows_of_the_lab(tmp_path):
    file = tmp_path / "rows.json"
    words = ["--only", "lab", "--rounds", "1", "--lab", "stock", "--json", str(file)]
    subprocess.run([sys.executable, "-m", "benchmarks", *words], check=True)
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert len(rows) == 6
    for row in rows.values():
        assert all(cost > 0 for costs in row["costs"].values() for cost in costs)
