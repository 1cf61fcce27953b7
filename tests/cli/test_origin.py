"""Where, when and by which command a result was made."""

import json
import subprocess
import sys
from datetime import datetime

from tests.schemas import validator


def test_a_result_names_its_command_its_host_and_its_time():
    words = ["predict", "--global", "--top", "1", "-f", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "oomctl", *words], capture_output=True, text=True, check=False
    )
    tree = json.loads(done.stdout)
    validator("schema.json", "#/$defs/predict").validate(tree)
    origin = tree["environment"]
    assert origin["command"] == "oomctl predict --global --top 1 -f json"
    assert origin["host"]
    assert datetime.fromisoformat(origin["time"]).tzinfo is not None
