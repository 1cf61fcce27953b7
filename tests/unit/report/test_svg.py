"""What is drawn of memory over time."""

import pytest

from oomctl.oom.outcome import Sample
from oomctl.report import svg

CALL = 1_000


def drawn(*points, start=-100, end=400):
    (line,) = svg.lines([Sample(CALL + at, "/t", size) for at, size in points], CALL, start, end)
    return line.points


def test_a_line_reaches_both_edges_however_seldom_the_machine_was_looked_at():
    """A sample long before the call and one long after: in between the machine was busy."""
    points = drawn((-300, 600), (165, 600), (765, 0))
    assert points[0] == (-100, 600)
    assert points[-1] == (400, 600 - 600 * 235 // 600)
    assert (165, 600) in points


def test_one_gap_over_the_whole_drawing_is_a_line_all_the_same():
    assert drawn((-200, 0), (800, 1000)) == ((-100, 100), (400, 600))


def test_what_lies_inside_is_drawn_as_it_was_sampled():
    points = (-100, 5), (0, 5), (400, 1)
    assert drawn(*points) == points


@pytest.mark.parametrize("points", [[(-300, 1), (-200, 2)], [(500, 1), (600, 2)], []])
def test_what_lies_outside_is_not_drawn(points):
    samples = [Sample(CALL + at, "/t", size) for at, size in points]
    assert svg.lines(samples, CALL, -100, 400) == ()
