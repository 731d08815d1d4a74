# SPDX-License-Identifier: LGPL-2.1-or-later
"""The site that `make manual` makes of the pages in docs/: whole, and every link of it leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from .hubs import ROOT
from .venvs import cached_venv, pip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first run installs Sphinx

_REQUIREMENTS = ROOT / "docs" / "requirements.txt"

#: Made by Sphinx of no page, and empty without a Python domain.
_NOT_OURS = {"genindex.html", "search.html"}


class Page(HTMLParser):
    """What one page of the site leads to, and can be led to.

    Attributes:
        links: Where its links and images lead.
        loads: What a browser fetches to show it.
        ids: What a link may name behind `#`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is of interest."""
        values = {name: value or "" for name, value in attrs}
        self.ids.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(values["href"])
        elif "src" in values:
            self.loads.append(values["src"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The directory of the site, and what building it has said."""
    python = cached_venv(
        "manual",
        python=Path(sys.executable),
        made_of=_REQUIREMENTS.read_text(encoding="utf-8"),
        fill=lambda fresh: pip(fresh, "install", "-r", str(_REQUIREMENTS)),
    )
    directory = tmp_path_factory.mktemp("manual")
    command = [str(python), "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-d", str(directory / "trees")]
    command += ["-b", "html", str(ROOT / "docs"), str(directory / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return directory / "site", done


@pytest.fixture(scope="module")
def pages(built: tuple[Path, subprocess.CompletedProcess[str]]) -> dict[str, Page]:
    """Every page of the site, by its name."""
    return {path.name: Page(path) for path in built[0].glob("*.html")}


def leads_to(page: Page) -> Iterator[tuple[Path, str]]:
    """File and anchor of each link within the site."""
    for link in [*page.links, *page.loads]:
        parts = urlsplit(link)
        if not parts.scheme:
            yield page.path.parent / unquote(parts.path) if parts.path else page.path, unquote(parts.fragment)


def test_the_site_is_built_without_a_warning(built: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = built

    assert (done.returncode, done.stderr) == (0, "")


def test_every_page_in_docs_is_on_the_site_and_has_a_title(pages: dict[str, Page]) -> None:
    sources = {f"{source.stem}.html" for source in (ROOT / "docs").glob("*.md")}

    assert len(sources) > 10
    assert pages.keys() - _NOT_OURS == sources


def test_every_link_of_the_site_leads_somewhere(pages: dict[str, Page]) -> None:
    ids = {page.path: page.ids for page in pages.values()}
    links = [(name, *target) for name, page in pages.items() for target in leads_to(page)]

    assert len(links) > 500
    assert [(name, path) for name, path, _ in links if not path.exists()] == []
    assert [one for one in links if one[2] and one[1] in ids and one[2] not in ids[one[1]]] == []


def test_whoever_reads_a_page_asks_nobody_else(pages: dict[str, Page]) -> None:
    """A hub is often looked at where there is no way out."""
    assert [load for page in pages.values() for load in page.loads if urlsplit(load).netloc] == []
