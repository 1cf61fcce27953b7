"""Any scenario file: valid, or each of its faults on a line of its own; for the schema as well."""

from hypothesis import given, settings

from tests.hostile.ground import ALL, cases, count, invoke, valid
from tests.hostile.toml import texts
from tests.scenario_documents import disagreement, documents


@cases(25)
@given(texts)
def test_any_scenario_is_valid_or_says_its_faults(harmless, furnished, text):
    count("scenario files")
    (furnished / "any.toml").write_bytes(text)
    before = sorted(furnished.iterdir())
    result = valid(invoke("scenario", "check", "any.toml"), {0, 2})
    if result.exit_code == 0:
        assert result.stdout.startswith("any.toml: valid: ")
        assert result.stderr == ""
        assert valid(invoke("run", "any.toml", "--dry-run"), {0}).stdout
    else:
        assert result.stdout == ""
        assert all(line.startswith("oomctl: any.toml: ") for line in result.stderr.splitlines())
    assert sorted(furnished.iterdir()) == before


@settings(cases(20), derandomize=not ALL)
@given(documents)
def test_the_schema_and_the_check_agree(document):
    count("scenario documents")
    assert disagreement(document) == ""
