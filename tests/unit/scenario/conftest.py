"""Scenario files in a temporary folder."""

import pytest

from tests.scenarios import Files


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)
