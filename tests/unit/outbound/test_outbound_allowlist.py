"""Which URLs an allow-list lets through, and which spellings do not get past it."""

import pytest

from automesh.outbound.allowlist import AllowList, Entry
from automesh.outbound.errors import BadAllowList, UrlNotAllowed

LIST = AllowList.parse(
    [
        "https://files.example.org/public/",
        "https://files.example.org:8443/v1",
        "http://127.0.0.1:9000/ private",
        "https://*.hooks.example.org/",
        "https://[2001:4860::1]/x/",
    ]
)


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.org/public/a.csv",
        "https://files.example.org/public/deep/er/a.csv?version=2&x=%2F..",
        "HTTPS://Files.Example.ORG/public/a",
        "https://files.example.org./public/a",
        "https://files.example.org:443/public/a",
        "https://files.example.org:8443/v1",
        "https://files.example.org:8443/v1/x",
        "https://files.example.org/public/",
        "http://127.0.0.1:9000/anything",
        "https://a.hooks.example.org/",
        "https://a.b.hooks.example.org/in",
        "https://[2001:4860:0::1]/x/y",
    ],
)
def test_what_stands_below_a_prefix_is_allowed(url: str) -> None:
    target, private = LIST.find(url)
    assert private == (target.host == "127.0.0.1")


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.org/private/a",
        "https://files.example.org/publicity",
        "https://files.example.org/",
        "http://files.example.org/public/a",
        "https://files.example.org:444/public/a",
        "https://files.example.org:8443/v10",
        "https://files.example.org.evil.test/public/a",
        "https://evil.test/https://files.example.org/public/",
        "https://evil.test#@files.example.org/public/a",
        "https://hooks.example.org/",
        "https://evilhooks.example.org/",
        "http://127.0.0.1:9001/",
        "http://localhost:9000/",
    ],
)
def test_what_does_not_is_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        LIST.find(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.org/public/../private/a",
        "https://files.example.org/public/%2e%2e/private/a",
        "https://files.example.org/public/..%2fprivate/a",
        "https://files.example.org/public/%252e%252e%252fprivate",
        "https://files.example.org/public/./a",
        "https://files.example.org/public/..\\private",
        "https://files.example.org/public/..%5cprivate",
        "https://files.example.org@evil.test/public/a",
        "https://user:secret@files.example.org/public/a",
        "https://files.example.org/public/a#fragment",
        "https://files.example.org:0/public/a",
        "https://files.example.org:99999/public/a",
        "https://files.example.org:x/public/a",
        "https://files.example.org/public/a b",
        "https://files.example.org/public/a\n",
        "https://files.example.org/public/ä",
        "https://fïles.example.org/public/a",
        "//files.example.org/public/a",
        "ftp://files.example.org/public/a",
        "file:///etc/passwd",
        "https://",
        "https:///public/a",
        "",
        "https://[::1",
        "https://files.example.org/public/" + "a" * 5000,
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_spellings_that_programs_read_differently_are_refused_whatever_is_allowed(url: str) -> None:
    everything = AllowList.parse(["https://*/", "http://*/", "https://files.example.org/"])
    with pytest.raises(UrlNotAllowed):
        everything.find(url)


def test_a_secret_in_a_url_is_not_repeated_to_people() -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        LIST.find("https://evil.test/a?signature=topsecret")
    assert "topsecret" not in str(caught.value)
    with pytest.raises(UrlNotAllowed) as caught:
        LIST.find("https://user:topsecret@files.example.org/public/a")
    assert "topsecret" not in str(caught.value)


def test_private_is_for_the_host_and_port_that_bear_it() -> None:
    assert LIST.find("http://127.0.0.1:9000/x")[1] is True
    assert LIST.find("https://files.example.org/public/a")[1] is False
    both = AllowList.parse(["https://*/", "https://inside.test/ private"])
    assert (both.find("https://inside.test/")[1], both.find("https://other.test/")[1]) == (True, False)


def test_an_empty_list_allows_nothing_and_knows_it() -> None:
    assert not AllowList.parse([" ", ""])
    with pytest.raises(UrlNotAllowed):
        AllowList().find("https://files.example.org/")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("files.example.org", "https://"),
        ("ftp://files.example.org/", "https://"),
        ("https://files.example.org/a?b=c", "query"),
        ("https://files.example.org/ publik", "private"),
        ("https://files.example.org/ private private", "private"),
        ("https://*/ private", "one host"),
        ("https://*.example.org/ private", "one host"),
        ("https://a.*.example.org/", "no host"),
        ("https://files.example.org/../", "whole path"),
        ("https://user@files.example.org/", "secrets"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused_with_what_to_write(entry: str, says: str) -> None:
    with pytest.raises(BadAllowList, match=says):
        Entry.parse(entry)
