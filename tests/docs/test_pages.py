"""The documents: links lead somewhere, files exist, commands parse, marked ones work."""

import re

import pytest

from oomctl import __version__
from tests.docs.pages import (
    PAGES,
    ROOT,
    Command,
    anchors,
    files,
    links,
    marked,
    prose,
    run,
    shell,
)

MARKS = {("sh",), ("sh", "run"), ("sh", "jq"), ("sh", "lab")}
names = lambda page: str(page.relative_to(ROOT))  # noqa: E731


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page):
    for link in links(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        to = (page.parent / name).resolve() if name else page
        assert to.exists(), link
        assert not anchor or anchor in anchors(to), link


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_files_that_are_named_exist(page):
    lost = [name for name in files(page) if not [*ROOT.glob(name.rstrip("/"))]]
    lost = [name for name in lost if not name.startswith("oomctl/built")]
    assert page.name == "CHANGELOG.md" or lost == []


@pytest.mark.parametrize("block", shell(), ids=str)
def test_a_shell_block_parses(block):
    assert block.info in MARKS
    if block.info[1:] != ("jq",):  # test_jq.py
        assert {one.text: one.fault() for one in block.commands if one.fault()} == {}


def test_a_command_that_does_not_parse_is_found():
    for text in (
        "oomctl decline",
        "sudo oomctl run --hogz 3",
        "nonsense -a",
        "oomctl run x | frob",
    ):
        assert Command(text, 0).fault(), text


@pytest.mark.parametrize("page", marked("run"))
def test_blocks_that_are_marked_as_runnable(page, tmp_path):
    run(marked("run")[page], tmp_path)


def test_blocks_are_marked():
    assert sum(map(len, marked("run").values())) >= 5
    assert sum(map(len, marked("lab").values())) >= 6


def test_every_page_is_reached_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert set(PAGES) - linked == {ROOT / "README.md"}


def test_the_readme_is_short_and_names_the_test_command():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    assert "make check && make test" in text


def test_the_changelog_begins_with_this_version():
    found = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert found[0] == __version__
    assert found == sorted(found, key=lambda text: [*map(int, text.split("."))], reverse=True)


def test_the_glossary_is_short():
    assert len(prose(ROOT / "docs/glossary.md").splitlines()) <= 60
