"""Which route takes a path; the trie against a matcher that simply tries everything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.refusals import BadPath
from gateway.routing import BadTemplate, RouteConflict, RouteTable, Template, parse_path, parse_template


def table(*templates: str, method: str = "GET") -> RouteTable[str]:
    routes: RouteTable[str] = RouteTable()
    for template in templates:
        routes.add(method, parse_template(template), template)
    return routes


def matched(routes: RouteTable[str], path: str, method: str = "GET") -> str | None:
    match = routes.match(method, parse_path(path.encode()))
    return match.target if match else None


def captured(template: str, path: str) -> dict[str, str] | None:
    match = table(template).match("GET", parse_path(path.encode()))
    return match.captures if match else None


@pytest.mark.parametrize(
    ("text", "segments", "verb", "variables"),
    [
        ("/v1/things", ("v1", "things"), "", []),
        ("/v1/{name}", ("v1", "*"), "", [("name", 1, 2)]),
        ("/v1/{a.b.c=*}:go", ("v1", "*"), "go", [("a.b.c", 1, 2)]),
        ("/v1/{name=shelves/*/books/**}", ("v1", "shelves", "*", "books", "**"), "", [("name", 1, 5)]),
        ("/v1/{rest=**}/end", ("v1", "**", "end"), "", [("rest", 1, 2)]),
        ("/v1/*/x", ("v1", "*", "x"), "", []),
    ],
)
def test_a_template_is_parsed(text: str, segments: tuple[str, ...], verb: str, variables: list[object]) -> None:
    template = parse_template(text)
    assert (template.segments, template.verb) == (segments, verb)
    assert [(each.field_path, each.start, each.end) for each in template.variables] == variables


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1/x",
        "/",
        "/v1//x",
        "/v1/",
        "/v1/{",
        "/v1/}",
        "/v1/{a",
        "/v1/{a}{b}",
        "/v1/{a={b}}",
        "/v1/{}",
        "/v1/{=*}",
        "/v1/{a=}",
        "/v1/{a.}",
        "/v1/{1a}",
        "/v1/{a}/{a}",
        "/v1/**/**",
        "/v1/x{a}",
        "/v1/a b",
        "/v1/x:",
        "/v1/x:a b",
    ],
)
def test_a_malformed_template_is_refused(text: str) -> None:
    with pytest.raises(BadTemplate):
        parse_template(text)


@pytest.mark.parametrize(
    ("template", "path", "captures"),
    [
        ("/v1/{name}", "/v1/x", {"name": "x"}),
        ("/v1/{name}", "/v1/a%2Fb", {"name": "a/b"}),
        ("/v1/{name}", "/v1/a%252Fb", {"name": "a%2Fb"}),
        ("/v1/{name}", "/v1/a+b", {"name": "a+b"}),
        ("/v1/{name}", "/v1/%C3%A4", {"name": "ä"}),
        ("/v1/{name}", "/v1/x:y", {"name": "x:y"}),
        ("/v1/{name}", "/v1/", None),
        ("/v1/{name}", "/v1/x/", None),
        ("/v1/{name}", "/v1//x", None),
        ("/v1/{name}", "/v1", None),
        ("/v1/{name}:go", "/v1/x:go", {"name": "x"}),
        ("/v1/{name}:go", "/v1/a:b:go", {"name": "a:b"}),
        ("/v1/{name}:go", "/v1/x%3Ago", None),
        ("/v1/{name}:go", "/v1/:go", None),
        ("/v1/{name}:go", "/v1/x", None),
        ("/v1/{name=shelves/*/books/*}", "/v1/shelves/s/books/b", {"name": "shelves/s/books/b"}),
        ("/v1/{name=shelves/*/books/*}", "/v1/shelves/a%2Fb/books/%C3%A4", {"name": "shelves/a%2Fb/books/ä"}),
        ("/v1/files/{name=**}", "/v1/files/a/b/c.txt", {"name": "a/b/c.txt"}),
        ("/v1/files/{name=**}", "/v1/files/a%2fb/%20", {"name": "a%2fb/ "}),
        ("/v1/files/{name=**}", "/v1/files", {"name": ""}),
        ("/v1/files/{name=**}", "/v1/files/", None),
        ("/v1/files/{name=**}", "/v1/files/a//b", None),
        ("/v1/{name=shelves/**}", "/v1/shelves", {"name": "shelves"}),
        ("/v1/{name=**}/end/{last}", "/v1/a/b/end/z", {"name": "a/b", "last": "z"}),
        ("/v1/{name=**}/end/{last}", "/v1/end/z", {"name": "", "last": "z"}),
        ("/v1/{a}/{b=**}:go", "/v1/x/y/z:go", {"a": "x", "b": "y/z"}),
        ("/v1/files/{name=**}", "/v1/files/../../etc", {"name": "../../etc"}),
    ],
)
def test_captures_are_split_first_and_decoded_once(template: str, path: str, captures: dict[str, str] | None) -> None:
    assert captured(template, path) == captures


def test_a_literal_wins_over_a_star_which_wins_over_two_in_any_order() -> None:
    templates = ["/v1/{rest=**}", "/v1/{name}", "/v1/things", "/v1/{a}/{b}", "/v1/things/{b}"]
    for order in (templates, templates[::-1]):
        routes = table(*order)
        assert matched(routes, "/v1/things") == "/v1/things"
        assert matched(routes, "/v1/other") == "/v1/{name}"
        assert matched(routes, "/v1/things/1") == "/v1/things/{b}"
        assert matched(routes, "/v1/other/1") == "/v1/{a}/{b}"
        assert matched(routes, "/v1/a/b/c") == "/v1/{rest=**}"
        assert matched(routes, "/v1") == "/v1/{rest=**}"


def test_a_dead_end_is_left_again() -> None:
    assert matched(table("/v1/a/b/c", "/v1/{x}/b/d"), "/v1/a/b/d") == "/v1/{x}/b/d"


def test_a_route_of_another_method_does_not_hide_a_less_exact_one() -> None:
    routes = table("/v1/{name}")
    routes.add("POST", parse_template("/v1/exact"), "post")
    assert matched(routes, "/v1/exact") == "/v1/{name}"
    assert matched(routes, "/v1/exact", "POST") == "post"
    assert routes.methods(parse_path(b"/v1/exact")) == {"GET", "POST"}
    assert routes.methods(parse_path(b"/v2")) == frozenset()


def test_a_verb_wins_over_a_colon_in_the_text() -> None:
    routes = table("/v1/{name}", "/v1/{name}:go")
    assert matched(routes, "/v1/x:go") == "/v1/{name}:go"
    assert matched(routes, "/v1/x:stop") == "/v1/{name}"


def test_two_templates_for_the_same_requests_are_a_conflict() -> None:
    routes = table("/v1/{a}/x")
    with pytest.raises(RouteConflict, match=r"/v1/\{b\}/x and GET /v1/\{a\}/x"):
        routes.add("GET", parse_template("/v1/{b}/x"), "other")


@pytest.mark.parametrize("path", [b"/a%", b"/a%2", b"/%zz", b"/%FF", b"/%C3", b"/\xff"])
def test_a_malformed_path_is_refused(path: bytes) -> None:
    with pytest.raises(BadPath):
        parse_path(path)


SEGMENT = st.sampled_from(["a", "b", "*"])
VERB = st.sampled_from(["", "", ":go", ":b"])


@st.composite
def template_texts(draw: st.DrawFn) -> str:
    parts = draw(st.lists(SEGMENT, min_size=1, max_size=4))
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), "**")
    return "/" + "/".join(parts) + draw(VERB)


PATHS = st.builds(
    lambda parts, verb: "/" + "/".join(parts) + verb,
    st.lists(st.sampled_from(["a", "b", "c", "", "a:go"]), min_size=1, max_size=6),
    st.sampled_from(["", "", ":go", ":b", ":c"]),
)


def fits(segments: tuple[str, ...], parts: list[str]) -> bool:
    """The definition, by trying every length of `**`."""
    if not segments:
        return not parts
    head, rest = segments[0], segments[1:]
    if head == "**":
        return any(all(parts[:taken]) and fits(rest, parts[taken:]) for taken in range(len(parts) + 1))
    return bool(parts) and bool(parts[0]) and head in ("*", parts[0]) and fits(rest, parts[1:])


def naive(templates: list[Template], path: str) -> str | None:
    parts = path[1:].split("/")
    head, colon, verb = parts[-1].rpartition(":")
    readings = [(verb, [*parts[:-1], head])] if colon and verb and head else []
    for want, reading in [*readings, ("", parts)]:
        fitting = [each for each in templates if each.verb == want and fits(each.segments, reading)]
        if fitting:
            return min(fitting, key=lambda each: rank(each.segments)).text
    return None


def rank(segments: tuple[str, ...]) -> list[tuple[int, ...]]:
    """Literal before `*` before `**`, segment by segment; the end of a template is better than `**`."""
    ranks: list[tuple[int, ...]] = []
    for at, segment in enumerate(segments):
        if segment == "**":
            tail = segments[at + 1 :]
            return [*ranks, (3, -len(tail)), *[(int(part == "*"),) for part in tail]]
        ranks.append((1 if segment != "*" else 2,))
    return [*ranks, (0,)]


@settings(max_examples=400, deadline=None)
@given(st.lists(template_texts(), max_size=8), PATHS)
def test_the_trie_finds_what_trying_every_template_finds(texts: list[str], path: str) -> None:
    templates = {(each.segments, each.verb): each for each in map(parse_template, texts)}
    routes: RouteTable[str] = RouteTable()
    for template in templates.values():
        routes.add("GET", template, template.text)
    assert matched(routes, path) == naive(list(templates.values()), path)
