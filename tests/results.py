"""What tests take out of a result in JSON."""


def rises_of(result, cgroup):
    """Return the rises of memory.events of a cgroup, by counter."""
    (row,) = [row for row in result["events"] if row["cgroup"] == cgroup]
    return row["counters"]
