"""Which passwords are accepted, and that hashing is bounded."""

import asyncio
import threading

import pytest

from automesh.core.errors import Exhausted, ValidationError
from services.auth.crypto.argon2_hasher import Argon2Cost, Argon2Hasher
from services.auth.domain.passwords import check_password, random_password

CHEAP = Argon2Cost(memory_kib=8, passes=1)
LIMIT_S = 20


@pytest.mark.parametrize(
    "password",
    ["violet otter crosses 9 rivers", "tr0ub4dor&threeX", "äöü ñandú straße λόγος", "x1y2z3 w4v5u6", "1029384756zqXw"],
)
def test_a_password_that_is_hard_to_guess_is_accepted(password: str) -> None:
    check_password(password, username="ann", field="password")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short 1 pass", None),
        ("elevenchars", "12 to 128"),
        ("x1" * 65, "12 to 128"),
        ("aaaaaaaaaaaaaaa", "different characters"),
        ("1212121212121212", "different characters"),
        ("Password123!", "guessed first"),
        ("password2026!!", "guessed first"),
        ("qwertyuiop12", "guessed first"),
        ("123456789012", "guessed first"),
        ("passwordpassword", "guessed first"),
        ("Welcome-2026-", "guessed first"),
        ("correct-horse-battery-staple", "guessed first"),
        ("i am johndoe really", "username"),
        ("JOHNDOE and others", "username"),
        ("violet otter\0crosses", "NUL"),
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused_without_being_repeated(password: str, why: str | None) -> None:
    if why is None:
        check_password(password, username="johndoe", field="password")
        return
    with pytest.raises(ValidationError, match=why) as caught:
        check_password(password, username="johndoe", field="new_password")
    assert password not in str(caught.value)
    assert caught.value.violations[0].field == "new_password"


def test_a_username_of_two_letters_does_not_forbid_everything() -> None:
    check_password("violet otter crosses", username="ot", field="password")


def test_random_passwords_differ_and_are_accepted() -> None:
    made = {random_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_password(password, username="admin", field="password")


async def test_a_hash_verifies_its_password_alone() -> None:
    hasher = Argon2Hasher(CHEAP)
    hashed = await hasher.hash("violet otter crosses")
    assert hashed.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert "violet" not in hashed
    assert (await hasher.verify("violet otter crosses", hashed)).matches
    assert not (await hasher.verify("violet otter crosse", hashed)).matches
    hasher.close()


async def test_nobody_is_compared_as_slowly_and_never_matches() -> None:
    hasher = Argon2Hasher(CHEAP)
    assert not (await hasher.verify("a password that nobody has", None)).matches
    hasher.close()


async def test_a_hash_of_yesterday_is_outdated() -> None:
    yesterday, today = Argon2Hasher(CHEAP), Argon2Hasher(Argon2Cost(memory_kib=16, passes=1))
    verdict = await today.verify("violet otter crosses", await yesterday.hash("violet otter crosses"))
    assert verdict.matches
    assert verdict.outdated
    yesterday.close()
    today.close()


def test_the_default_cost_is_the_one_of_the_security_model() -> None:
    assert Argon2Cost() == Argon2Cost(memory_kib=19 * 1024, passes=2, lanes=1)


async def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    hasher = Argon2Hasher(CHEAP, threads=1, queue=1)
    go = threading.Event()
    busy = [asyncio.create_task(hasher._run(lambda: go.wait(LIMIT_S))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted) as caught:
        await hasher.hash("violet otter crosses")
    assert caught.value.retry_after is not None
    go.set()
    async with asyncio.timeout(LIMIT_S):
        assert await asyncio.gather(*busy) == [True, True]
        assert await hasher.hash("violet otter crosses")
    hasher.close()
