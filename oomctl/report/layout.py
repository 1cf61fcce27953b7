"""Columns of text from a table; the one place that calls tabulate."""

from oomctl.report.rows import Table


def lay_out(table: Table, style: str) -> str:
    """Return the table in a style of tabulate's, every cell as the text it is."""
    import tabulate

    tabulate.MIN_PADDING = 0  # else every header takes two more columns
    return tabulate.tabulate(
        table.rows,
        table.headers,
        tablefmt=style,
        disable_numparse=True,
        colalign=table.alignment,
    )
