import psutil

from oomctl.proc import meminfo


def test_it_is_what_psutil_says():
    assert meminfo.total() == psutil.virtual_memory().total
