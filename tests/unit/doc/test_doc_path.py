"""Paths: which may be, when two are one, and where links lead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automesh.core.errors import ValidationError
from services.doc.domain.documents.path import document_path, file_path, folder_prefix, key, relative, target_of

names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True).filter(
    lambda name: name not in {"con", "prn", "aux", "nul"} and not name.startswith(("com", "lpt"))
)
paths = st.lists(names, min_size=1, max_size=5).map("/".join)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("start", "start.md"),
        ("Start.MD", "Start.MD"),
        ("a/b.c", "a/b.c.md"),
        ("über/日本 語.md", "über/日本 語.md"),
        ("u\u0308ber.md", "über.md"),
        (".hidden", ".hidden.md"),
        ("console.md", "console.md"),
    ],
)
def test_a_path_is_kept_with_its_suffix_and_in_one_form(path: str, kept: str) -> None:
    assert document_path(path) == kept


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "required"),
        ("/a.md", "empty part"),
        ("a/", "empty part"),
        ("a//b", "empty part"),
        ("../a", "'..'"),
        ("a/../../b", "'..'"),
        ("a/./b", "'.'"),
        ("a\\b", "cannot have"),
        ("a:b", "cannot have"),
        ("what?", "cannot have"),
        ("a\x00b", "cannot have"),
        ("a\nb", "cannot have"),
        ("a\u202eb", "cannot have"),
        ("a\u2028b", "cannot have"),
        (" a", "space"),
        ("a ", "space"),
        ("a/b./c", "dot"),
        ("con", "devices"),
        ("docs/NUL.md", "devices"),
        ("com1.tar.md", "devices"),
        ("x" * 121, "121 characters"),
        ("/".join(["abcdefghi"] * 41), "at most 400"),
        ("/".join(["a"] * 21), "21 levels"),
        ("a.md/b.md", "no disk"),
    ],
)
def test_a_path_that_some_system_could_not_have_is_refused(path: str, words: str) -> None:
    with pytest.raises(ValidationError) as error:
        file_path(path, field="where")
    assert words in error.value.message
    assert error.value.violations[0].field == "where"


@pytest.mark.parametrize("path", ["p/.md", ".MD", ".md"])
def test_a_document_has_a_name_of_its_own(path: str) -> None:
    with pytest.raises(ValidationError, match="own name"):
        document_path(path)


@given(st.text(min_size=1, max_size=60))
def test_a_path_that_is_accepted_stays_as_it_is(path: str) -> None:
    try:
        kept = document_path(path)
    except ValidationError:
        return
    assert document_path(kept) == kept
    assert key(kept) == key(key(kept))
    assert not {"", ".", ".."} & set(kept.split("/"))


@pytest.mark.parametrize(("one", "other"), [("A.md", "a.MD"), ("STRASSE", "straße"), ("Ü", "u\u0308"), ("ﬁ", "FI")])
def test_paths_that_differ_in_case_or_form_only_are_one(one: str, other: str) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("other.md", ("guides/other.md", "")),
        ("../top.md#Über", ("top.md", "Über")),
        ("/top.md", ("top.md", "")),
        ("#here", ("guides/start.md", "here")),
        ("?q#here", ("guides/start.md", "here")),
        ("a%20b.md?x=1#c%20d", ("guides/a b.md", "c d")),
        ("./././x", ("guides/x", "")),
        ("../../up.md", None),
        ("https://x.example/y", None),
        ("mailto:a@b", None),
        ("//host/path", None),
        ("javascript:alert(1)", None),
        ("", None),
        ("1:2.md", ("guides/1:2.md", "")),
    ],
)
def test_a_link_leads_to_a_path_of_the_space_or_out_of_it(link: str, target: tuple[str, str] | None) -> None:
    assert target_of(link, "guides/start.md") == target


@given(paths, paths)
def test_a_relative_link_leads_where_it_was_made_for(target: str, source: str) -> None:
    assert target_of(relative(target, source), source) == (target, "")


def test_a_folder_is_a_prefix_with_a_slash_at_its_end() -> None:
    assert (folder_prefix(""), folder_prefix("/"), folder_prefix("/a/b/")) == ("", "", "a/b/")
    with pytest.raises(ValidationError):
        folder_prefix("a/../b")


@pytest.mark.parametrize("path", ["guides%2Fstart.md", "guides%2fstart.md", "guides/start.md"])
def test_an_escaped_slash_is_a_slash(path: str) -> None:
    assert file_path(path) == "guides/start.md"


@pytest.mark.parametrize("path", ["..%2Fstart.md", "a%2F%2Fb.md", "%2Fa.md"])
def test_an_escaped_slash_gets_round_no_rule(path: str) -> None:
    with pytest.raises(ValidationError):
        file_path(path)
