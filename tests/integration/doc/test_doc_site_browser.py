"""A published site in a real browser, as it is served: nothing is refused by its own policy, and search finds."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from automesh.testing.browser import Tab, headless
from automesh.testing.postgres import PostgresForTests
from tests.integration.doc.doc_house_sites import Published, publishing

pytestmark = [pytest.mark.postgres, pytest.mark.browser]

CODE = """# Code

## Install

```python
def greet(name: str) -> str:
    return f"hello {name}"  # friendly
```

> [!WARNING]
> Mind the zebra.

| a | b |
|---|--:|
| 1 | 2 |

## Configure

The option `max_page_bytes` bounds a page. <script>alert(1)</script><img src=x onerror=alert(1)>
"""


@pytest.fixture
async def site(postgres: PostgresForTests, tmp_path: Path) -> AsyncIterator[Published]:
    async with publishing(postgres, tmp_path) as published:
        await published.doc.write("guides/code.md", CODE)
        await published.publish()
        yield published


async def pictured(tab: Tab, name: str) -> None:
    """Kept for people to look at, where somebody asks for pictures."""
    folder = os.environ.get("AUTOMESH_PICTURES")
    if folder:
        await tab.picture(Path(folder) / f"{name}.png")


async def test_a_reader_searches_reads_and_chooses_a_theme(site: Published, browser_binary: Path) -> None:
    async with asyncio.timeout(100), headless(browser_binary) as browser:
        tab = await browser.tab()
        await tab.size(1280, 900)
        await tab.open(f"{site.url}/handbook/")
        await tab.press("/", "/")
        assert await tab.run("document.activeElement.id") == "am:query"
        await tab.type("max page")
        found = await tab.until("document.querySelector('#am\\\\:results a')?.href")
        assert found == f"{site.url}/handbook/guides/code.html#configure"
        await pictured(tab, "search")
        await tab.press("Enter")
        await tab.until("location.pathname.endsWith('code.html') && document.readyState === 'complete'")
        assert await tab.run("document.querySelector('nav.contents a.reading, nav.contents a') !== null")
        await tab.until("document.querySelectorAll('button.copy').length === 1")
        before = await tab.run("getComputedStyle(document.body).backgroundColor")
        await tab.run("document.querySelector('button.theme').click()")
        after = await tab.run("getComputedStyle(document.body).backgroundColor")
        assert before != after
        await tab.open(f"{site.url}/handbook/guides/start.html")
        assert await tab.run("getComputedStyle(document.body).backgroundColor") == after
        await pictured(tab, "dark")
        assert tab.dialogs == []
        assert tab.complaints == []


async def test_search_goes_on_when_readers_are_switched_to_another_release(
    site: Published, browser_binary: Path
) -> None:
    async with asyncio.timeout(100), headless(browser_binary) as browser:
        tab = await browser.tab()
        await tab.open(f"{site.url}/handbook/")
        await tab.press("/", "/")
        await tab.until("performance.getEntriesByType('resource').some((each) => each.name.endsWith('index.json'))")
        await site.doc.write("guides/okapi.md", "# Okapi\n\nStripes.\n")
        await site.publish()
        await tab.type("stripes")
        found = await tab.until("document.querySelector('#am\\\\:results a')?.href")
        assert found == f"{site.url}/handbook/guides/okapi.html#okapi"


async def test_a_page_of_the_listener_itself_has_its_style(site: Published, browser_binary: Path) -> None:
    async with asyncio.timeout(100), headless(browser_binary) as browser:
        tab = await browser.tab()
        await tab.open(f"{site.url}/no-such-space/")
        assert "system-ui" in await tab.run("getComputedStyle(document.body).fontFamily")
        await pictured(tab, "nothing")
        assert [each for each in tab.complaints if "Content Security" in each] == []


async def test_a_word_of_code_is_not_torn_at_its_hyphens_and_code_can_be_copied(
    site: Published, browser_binary: Path
) -> None:
    await site.doc.write("words.md", "# Words\n\n" + "x `--wait-for-it` " * 60 + "\n\n```sh\ntrue\n```\n")
    await site.publish()
    async with asyncio.timeout(100), headless(browser_binary) as browser:
        tab = await browser.tab()
        await tab.size(390, 800)
        await tab.open(f"{site.url}/handbook/words.html")
        lines = "[...document.querySelectorAll('p code .am-word')].map((each) => each.getClientRects().length)"
        assert set(await tab.run(lines)) == {1}
        await tab.run("document.querySelector('button.copy').focus()")
        assert await tab.run("getComputedStyle(document.querySelector('button.copy')).opacity") == "1"


async def test_on_a_telephone_the_menu_opens_and_nothing_is_wider_than_the_screen(
    site: Published, browser_binary: Path
) -> None:
    async with asyncio.timeout(100), headless(browser_binary) as browser:
        tab = await browser.tab()
        await tab.size(390, 800)
        await tab.open(f"{site.url}/handbook/guides/code.html")
        assert await tab.run("document.documentElement.scrollWidth <= innerWidth")
        tree = "getComputedStyle(document.querySelector('nav.tree')).display"
        assert await tab.run(tree) == "none"
        await pictured(tab, "narrow")
        await tab.run("document.querySelector('button.menu').click()")
        assert await tab.run(tree) == "block"
        await pictured(tab, "menu")
        assert await tab.run("document.querySelector('nav.tree [aria-current=page]').textContent") == "Code"
        assert tab.complaints == []


async def test_pages_can_be_read_and_told_apart_by_those_who_cannot_see_them(
    site: Published, browser_binary: Path
) -> None:
    async with asyncio.timeout(100), headless(browser_binary) as browser:
        tab = await browser.tab()
        await tab.size(1280, 900)
        await tab.open(f"{site.url}/handbook/guides/code.html")
        assert await tab.run("document.querySelectorAll('h1').length") == 1
        assert await tab.run("document.querySelectorAll('main, header.top, nav.tree').length") == 3
        unnamed = "[...document.querySelectorAll('nav, button, input')]"
        unnamed += (
            ".filter((e) => !e.getAttribute('aria-label') && !e.textContent.trim() && e.type !== 'checkbox').length"
        )
        assert await tab.run(unnamed) == 0
        duplicate = (
            "[...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, at, all) => all.indexOf(id) !== at)"
        )
        assert await tab.run(duplicate) == []
        await tab.press("Tab")
        assert await tab.run("document.activeElement.className") == "skip"
        assert await tab.run("document.documentElement.lang") == "en"
