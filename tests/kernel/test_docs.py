"""The shell blocks of the documents that are marked `sh lab` work as they stand."""

import pytest

from tests.docs.pages import marked, run


@pytest.mark.parametrize("page", marked("lab"))
def test_blocks_of(page, tmp_path, monkeypatch, oomctl):
    def typed(*words):
        result = oomctl(*words)
        return result.exit_code, result.output

    monkeypatch.chdir(tmp_path)
    run(marked("lab")[page], tmp_path, typed)
