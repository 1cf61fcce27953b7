import pytest

from oomctl.report.parts import Table, as_text

TABLE = Table(
    ("name", "swap", "adj", "weight", "would"),
    [["a" * 16, "0", "5", "0", "die"], ["b", "0", "0", "0", "live"]],
    numbers=("swap", "adj", "weight"),
    spare=("swap", "adj", "weight"),
)


@pytest.mark.parametrize(
    ("terminal", "headers"),
    [
        (None, "name swap adj weight would"),
        (42, "name swap adj weight would"),
        (41, "name swap adj would"),
        (34, "name swap adj would"),
        (33, "name adj would"),
    ],
)
def test_a_narrow_terminal_does_without_columns_of_zeros(terminal, headers):
    head = as_text([TABLE], terminal=terminal).splitlines()[0]
    assert " ".join(head.split()) == headers
    assert len(head) <= (terminal or 80)
