"""The corpus in a real browser: every page that is made of it is opened, and everything in it is touched."""

import asyncio
from pathlib import Path

import pytest

from automesh.testing.browser import Tab, headless
from services.doc.rendering.html import MarkdownRenderer
from tests.unit.doc.xss_corpus import CORPUS

pytestmark = pytest.mark.browser

PARTS = 12
TOUCH = """(() => {
    addEventListener("click", (event) => {
        const link = event.target.closest && event.target.closest("a[href]");
        if (link && /^(https?|file|mailto):/.test(link.protocol)) event.preventDefault();
    }, true);
    for (const element of document.body.querySelectorAll("*")) {
        for (const kind of ["mouseover", "mouseenter", "pointerover", "focus", "toggle", "error", "load", "click"]) {
            element.dispatchEvent(new MouseEvent(kind, { bubbles: true, cancelable: true }));
        }
        if (element.focus) element.focus();
        if (element.click) element.click();
    }
    return document.body.querySelectorAll("*").length;
})()"""


async def ran(tab: Tab, path: Path, html: str) -> list[str]:
    """What a page said in dialogs, when it was opened and everything in it was touched."""
    page = f'<!doctype html><meta charset="utf-8"><title>x</title><body>{html}</body>'
    await asyncio.to_thread(path.write_text, page, encoding="utf-8")
    tab.dialogs.clear()
    await tab.open(path.as_uri())
    await tab.run(TOUCH)
    await tab.run("new Promise((done) => setTimeout(done, 50))")
    return list(tab.dialogs)


async def test_nothing_of_the_corpus_runs_in_a_real_browser(browser_binary: Path, tmp_path: Path) -> None:
    renderer = MarkdownRenderer()
    made = [renderer.render(written, resolve=lambda target: "x.html") for written in CORPUS]
    async with asyncio.timeout(100), headless(browser_binary) as browser:
        tab = await browser.tab()
        for part in range(PARTS):
            html = "\n".join(f"<section>{each}</section>" for each in made[part::PARTS])
            assert await ran(tab, tmp_path / f"{part}.html", html) == []


async def test_what_is_not_made_safe_does_run_there(browser_binary: Path, tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    async with asyncio.timeout(60), headless(browser_binary) as browser:
        tab = await browser.tab()
        for number, html in enumerate(
            (
                "<img src=x onerror=alert(1)>",
                "<a href=javascript:alert(1)>x</a>",
                "<p onclick=alert(1)>x",
                "<svg onload=alert(1)>",
            )
        ):
            assert await ran(tab, tmp_path / f"{number}.html", html) != [], html
