"""Hooks of the documentation's site: pages from outside docs/, and links that lead somewhere on the site."""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
"""Files of the repository -> where they are on the site; experiments/ beside them."""
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
_IMAGE = re.compile(r'(<img src="|!\[[^\]]*\]\()(?!https?:)([^")]+)')
log = get_plugin_logger("dsrna")


def on_config(config: Any) -> Any:
    """Lists the recorded runs in the navigation."""
    runs = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("experiments/*/README.md"))
    config.nav[-1] = {"Recorded runs": ["experiments/README.md", *runs]}
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages and pictures that lie outside docs/."""
    pages = PAGES | {path: path for path in _outside("experiments/**/README.md")}
    pictures = {path: path for path in _outside("experiments/**/*.png")}
    for source, target in (pages | pictures).items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turns links between files of the repository into links of the site; those to what isn't on it into their text."""
    here = _source_of(page.file.src_uri)

    def on_site(target: str) -> str | None:
        path = normpath(f"{Path(here).parent.as_posix()}/{target}")
        if not (ROOT / path).exists():
            log.warning("%s: there is no %s", here, path)
        found = PAGES.get(path, path.removeprefix("docs/"))
        known = files.get_file_from_path(found)
        return None if known is None else relpath(found, Path(page.file.src_uri).parent.as_posix())

    def link(match: re.Match[str]) -> str:
        target = on_site(match[2])
        return match[1] if target is None else f"[{match[1]}]({target}{match[3] or ''})"

    return _IMAGE.sub(lambda match: match[1] + (on_site(match[2]) or match[2]), _LINK.sub(link, markdown))


def _outside(pattern: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)]


def _source_of(target: str) -> str:
    """The file of the repository that a page of the site is."""
    sources = {target: source for source, target in PAGES.items()}
    return sources.get(target, target if target.startswith("experiments/") else f"docs/{target}")
