"""What the files around the package say of it is true."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_is_of_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_the_newest_changes_are_those_of_this_version():
    first = re.search(r"^## (\S+?),", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == PROJECT["version"]


def test_the_commands_for_contributors_are_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = re.findall(r"^    make ([\w -]+?)(?:  |\s*#| ARGS)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert len(lines) == 6
    assert {word for line in lines for word in line.split()} <= targets


def test_links_between_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_page_is_on_the_site():
    """And nothing else; the recorded runs are added as they are found."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    shown = [
        page for entry in site["nav"] for one in entry.values() for page in ([one] if isinstance(one, str) else one)
    ]
    found = {next(iter(page.values())) if isinstance(page, dict) else page for page in shown}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert found == pages | {"index.md", "CONTRIBUTING.md", "CHANGELOG.md", "experiments/"}
    assert site["validation"]["links"] | site["validation"]["nav"] == dict.fromkeys(
        ("not_found", "anchors", "absolute_links", "unrecognized_links", "omitted_files"), "warn"
    )


def test_no_link_of_the_package_s_page_leads_into_a_repository_that_is_not_there():
    hook = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"][
        "fancy-pypi-readme"
    ]
    text = (ROOT / "README.md").read_text()
    for substitution in hook["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    assert not re.search(r"\]\((?!https?:)|src=\"(?!https?:)", text)
    assert "| Guide | settings, data sets" in text
    assert "what is known of each method is measured" in text
