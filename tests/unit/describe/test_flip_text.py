import pytest

from oomctl.describe.flip_text import flip_text
from oomctl.oom.enums import FlipKind
from oomctl.oom.flip import Flip

PAGE, M = 4096, 1 << 20
ADJ, SIZE, LIMIT = FlipKind.ADJ, FlipKind.SIZE, FlipKind.LIMIT
COMMS = {pid: f"t{pid}" for pid in range(2, 9)}


@pytest.mark.parametrize(
    ("flip", "text"),
    [
        (Flip(ADJ, 2, 0), "no oom_score_adj of t2 (pid 2)"),
        (Flip(LIMIT, None, 64 * M), "no memory.max"),
        (
            Flip(ADJ, 2, 0, -1000),
            "oom_score_adj of t2 (pid 2) -1000 or less (now 0): no task would die",
        ),
        (
            Flip(SIZE, 2, 0, PAGE, None, 2, (2,)),
            "rss of t2 (pid 2) 4K (1 page) or more (now 0): t2 (pid 2) would die",
        ),
        (
            Flip(SIZE, 2, 12 * M, 3 * M, None, 3, (2, 3, 4)),
            "rss of t2 (pid 2) 3M (768 pages) or less (now 12M): t3 (pid 3), t2 (pid 2), "
            "t4 (pid 4) would die",
        ),
        (
            Flip(LIMIT, None, None, 8 * M - PAGE, 4 * M, 5, (2, 3, 4, 5)),
            "memory.max 8188K (2,047 pages) down to 4M (now max): t5 (pid 5) and 3 more would die",
        ),
        (
            Flip(LIMIT, None, M, 2 * M, 4 * M, 9, (9,)),
            "memory.max 2M (512 pages) up to 4M (now 1M): ? (pid 9) would die",
        ),
    ],
)
def test_a_flip_in_words(flip, text):
    assert flip_text(flip, COMMS, PAGE) == text
