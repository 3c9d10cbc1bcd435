"""Caches have nothing rather than something wrong."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.doc.clients.cache import FAILURES, Breaker
from services.doc.domain.caching.memory import MemoryCache
from services.doc.domain.caching.ports import MAX_VALUE, key_of
from services.doc.domain.caching.rendered import CachedRenderer
from services.doc.domain.markdown.renderer import Resolve


class Counting:
    """A Renderer that asks for every word."""

    def __init__(self) -> None:
        self.made = 0

    def render(self, content: str, *, resolve: Resolve) -> str:
        self.made += 1
        return " ".join(str(resolve(word)) for word in content.split())


def leading(**to: str) -> Resolve:
    return to.get


async def test_a_value_stays_until_its_time_is_up() -> None:
    now = [0.0]
    cache = MemoryCache(now=lambda: now[0])
    await cache.set("a", b"x", ttl_s=10)
    now[0] = 9.9
    assert await cache.get("a") == b"x"
    now[0] = 10
    assert await cache.get("a") is None


async def test_what_was_asked_for_last_stays_when_room_runs_out() -> None:
    cache = MemoryCache(max_bytes=3 * 1300)
    for key in "abc":
        await cache.set(key, b"x" * 1000, ttl_s=10)
    assert await cache.get("a")
    await cache.set("d", b"x" * 1000, ttl_s=10)
    assert [key for key in "abcd" if await cache.get(key)] == ["a", "c", "d"]


async def test_a_value_that_is_too_large_is_not_kept_and_does_not_leave_the_old_one() -> None:
    cache = MemoryCache()
    await cache.set("a", b"small", ttl_s=10)
    await cache.set("a", b"x" * (MAX_VALUE + 1), ttl_s=10)
    assert await cache.get("a") is None


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_no_two_lists_of_parts_have_the_same_key(one: list[str], other: list[str]) -> None:
    assert (key_of("k", *one) == key_of("k", *other)) == (one == other)


async def test_a_text_is_rendered_once_as_long_as_its_links_lead_to_the_same() -> None:
    renderer = Counting()
    cached = CachedRenderer(renderer, MemoryCache(), version="1")
    for _ in range(3):
        assert await cached.render("a b", scope="s", resolve=leading(a="1")) == "1 None"
    assert (renderer.made, cached.hits, cached.misses) == (1, 2, 1)
    assert await cached.render("a b", scope="s", resolve=leading(a="1", b="2")) == "1 2"
    assert await cached.render("a b", scope="s", resolve=leading(a="1")) == "1 None"
    assert renderer.made == 3


async def test_another_version_of_the_renderer_shows_nothing_of_the_one_before() -> None:
    cache, renderer = MemoryCache(), Counting()
    await CachedRenderer(renderer, cache, version="1").render("a", scope="s", resolve=leading())
    await CachedRenderer(renderer, cache, version="2").render("a", scope="s", resolve=leading())
    assert renderer.made == 2


@pytest.mark.parametrize("rubbish", [b"", b"{", b"\xff\xfe", b"null", b"[1]", b'["a", "b"]', b'{"a": 1}'])
async def test_rubbish_in_the_cache_is_made_anew(rubbish: bytes) -> None:
    class Rubbish(MemoryCache):
        async def get(self, key: str) -> bytes | None:
            return rubbish

    assert await CachedRenderer(Counting(), Rubbish(), version="1").render("a", scope="s", resolve=leading()) == "None"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from(["a b", "b c", "a"]))))
def test_what_is_shown_is_always_what_rendering_now_would_show(steps: list[tuple[str, str, str]]) -> None:
    async def run() -> None:
        links: dict[str, str] = {}
        cached = CachedRenderer(Counting(), MemoryCache(max_bytes=1000), version="1")
        for link, target, content in steps:
            links[link] = target
            shown = await cached.render(content, scope="s", resolve=links.get)
            assert shown == Counting().render(content, resolve=links.get)

    asyncio.run(run())


def test_after_failures_nothing_is_tried_for_a_while_and_then_one_call_is() -> None:
    now = [0.0]
    breaker = Breaker(now=lambda: now[0])
    assert [breaker.failed() for _ in range(FAILURES)] == [False, False, True]
    assert not any(breaker.failed() for _ in range(20))  # calls that had begun before
    assert not breaker.lets_try()
    now[0] = 1.0
    assert [breaker.lets_try() for _ in range(3)] == [True, False, False]
    assert not breaker.failed()
    assert not breaker.lets_try()
    now[0] = 5.0
    assert breaker.lets_try()
    assert breaker.worked()
    assert all(breaker.lets_try() for _ in range(3))


def test_the_pauses_grow_but_not_for_ever() -> None:
    now = [0.0]
    breaker, pauses = Breaker(now=lambda: now[0]), []
    for _ in range(FAILURES):
        breaker.failed()
    for _ in range(12):
        began = now[0]
        while not breaker.lets_try():
            now[0] += 0.05
        breaker.failed()
        pauses.append(now[0] - began)
    assert pauses[0] < 1
    assert max(pauses) <= 30.1
