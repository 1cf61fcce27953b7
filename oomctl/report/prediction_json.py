"""A prediction as JSON, which is read back, and as rows of CSV."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from oomctl import commandline
from oomctl.oom import as_json, from_json
from oomctl.oom.as_json import SCHEMA
from oomctl.oom.enums import FlipKind
from oomctl.oom.flip import Flip
from oomctl.oom.prediction import Prediction
from oomctl.oom.reason import reason
from oomctl.report.prediction_parts import Asked
from oomctl.report.rows import as_csv


def render_prediction(
    prediction: Prediction, target: str | None, top: int | None, asked: Asked = ()
) -> str:
    """Return a prediction as one object (schema.json, $defs/predict)."""
    return f"{json.dumps(_tree(prediction, target, top, asked), indent=2)}\n"


def render_csv(
    prediction: Prediction, target: str | None, top: int | None, asked: Asked = ()
) -> str:
    """Return a row for each candidate."""
    return as_csv(_tree(prediction, target, top, asked)["candidates"])


def _tree(
    prediction: Prediction, target: str | None, top: int | None, asked: Asked
) -> dict[str, Any]:
    per_point = prediction.totalpages // 1000
    shown = [
        as_json.candidate(one)
        | {
            "rss_read_bytes": one.task.rss_read,
            "slack_bytes": one.task.slack,
            "adj_pages": one.task.oom_score_adj * per_point,
        }
        for one in prediction.candidates[:top]
    ]
    return {
        "schema": SCHEMA,
        "environment": commandline.origin(),
        "target": target,
        "totalpages": prediction.totalpages,
        "page_size_bytes": prediction.page_size,
        "pages_per_adj_point": per_point,
        **as_json.choice(prediction),
        "reason": as_json.reason(reason(prediction)),
        "asked": [
            {"reason": as_json.reason(one), "flips": [asdict(flip) for flip in flips]}
            for one, flips in asked
        ],
        "candidates": shown,
        "candidates_left_out": len(prediction.candidates) - len(shown),
    }


def read(tree: Mapping[str, Any]) -> tuple[Prediction, str | None, None, Asked]:
    """Read render_prediction() back: all that a renderer takes, with every task that is there."""
    prediction = from_json.prediction(tree, tree["page_size_bytes"])
    there = {one.task.pid for one in prediction.candidates}
    asked = [
        (
            reason(prediction, row["reason"]["pid"]),
            [
                Flip(**{**flip, "kind": FlipKind(flip["kind"]), "victims": tuple(flip["victims"])})
                for flip in row["flips"]
            ],
        )
        for row in tree["asked"]
        if row["reason"]["pid"] in there
    ]
    return prediction, tree["target"], None, asked
