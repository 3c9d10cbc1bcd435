"""Colours for code: comments, strings, numbers and keywords by one regular expression a family of languages.

It need not be right about every language, only fast, and safe: it changes no character, it only puts spans around them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache

MAX_CODE = 100_000
"""Longer code stays as it is."""

_HASH, _SLASHES, _DASHES = r"#[^\n]*", r"//[^\n]*|/\*[\s\S]*?(?:\*/|\Z)", r"--[^\n]*|/\*[\s\S]*?(?:\*/|\Z)"
_STRINGS = r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
_BACKTICK = r"`(?:\\.|[^`\\])*`"
_TRIPLE = r'"""[\s\S]*?(?:"""|\Z)|' + r"'''[\s\S]*?(?:'''|\Z)"
_NUMBER = r"(?<![\w.])(?:0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w])"

_C = (
    "auto bool break case char class const continue default delete do double else enum extern false float "
    "for goto if inline int long namespace new nullptr NULL private protected public return short signed "
    "sizeof static struct switch template this throw true try catch typedef union unsigned using virtual "
    "void volatile while"
)
_KEYWORDS: Mapping[str, tuple[str, str, str]] = {
    "python": (
        _HASH,
        f"{_TRIPLE}|{_STRINGS}",
        "and as assert async await break case class continue def del elif else except False finally for from "
        "global if import in is lambda match None nonlocal not or pass raise return self True try while with "
        "yield",
    ),
    "shell": (
        r"(?<![\w$])#[^\n]*",
        r""""(?:\\.|[^"\\])*"|'[^']*'""",
        "if then else elif fi for while until do done case esac function return export local unset source exit",
    ),
    "script": (
        _SLASHES,
        f"{_STRINGS}|{_BACKTICK}",
        "abstract as async await break case catch class const continue declare default delete do else enum "
        "export extends false finally for from function get if implements import in instanceof interface let "
        "namespace new null of private protected public readonly return set static super switch this throw "
        "true try type typeof undefined var void while yield",
    ),
    "go": (
        _SLASHES,
        f"{_STRINGS}|{_BACKTICK}",
        "break case chan const continue default defer else fallthrough false for func go goto if import "
        "interface map nil package range return select struct switch true type var",
    ),
    "rust": (
        _SLASHES,
        r'"(?:\\.|[^"\\])*"',
        "as async await break const continue crate dyn else enum extern false fn for if impl in let loop "
        "match mod move mut pub ref return self Self static struct super trait true type unsafe use where "
        "while",
    ),
    "c": (
        _SLASHES,
        _STRINGS,
        f"{_C} abstract boolean extends final finally implements import instanceof interface null package super throws",
    ),
    "sql": (
        _DASHES,
        r"'(?:''|[^'])*'",
        "add alter and as asc begin between by case check column commit constraint create default delete desc "
        "distinct drop else end exists foreign from full group having if in index inner insert into is join "
        "key left limit not null offset on or order outer primary references returning right rollback select "
        "set table then union unique update using values view when where with",
    ),
    "data": (r"(?<![\w:/])#[^\n]*", _STRINGS, "true false null yes no on off"),
    "proto": (
        _SLASHES,
        _STRINGS,
        "syntax package import option message enum service rpc returns stream repeated optional oneof map "
        "reserved bool string bytes int32 int64 uint32 uint64 double float",
    ),
    "docker": (_HASH, _STRINGS, "FROM RUN CMD COPY ADD ENV ARG WORKDIR EXPOSE ENTRYPOINT USER VOLUME LABEL AS"),
    "css": (r"/\*[\s\S]*?(?:\*/|\Z)", _STRINGS, "important media import supports layer var"),
    "markup": (r"<!--[\s\S]*?(?:-->|\Z)", _STRINGS, ""),
}
_FAMILIES: Mapping[str, str] = {
    **dict.fromkeys(("python", "py", "python3", "pycon"), "python"),
    **dict.fromkeys(("bash", "sh", "shell", "zsh", "console", "make", "makefile"), "shell"),
    **dict.fromkeys(("javascript", "js", "jsx", "mjs", "typescript", "ts", "tsx"), "script"),
    **dict.fromkeys(("c", "cpp", "c++", "h", "hpp", "java", "cs", "csharp", "kotlin", "swift", "scala"), "c"),
    **dict.fromkeys(("json", "json5", "jsonc", "yaml", "yml", "toml", "ini", "cfg", "conf", "properties"), "data"),
    **dict.fromkeys(("html", "xml", "svg", "vue"), "markup"),
    **dict.fromkeys(("css", "scss", "less"), "css"),
    **dict.fromkeys(("sql", "postgresql", "mysql", "plpgsql"), "sql"),
    **dict.fromkeys(("dockerfile", "docker", "containerfile"), "docker"),
    **dict.fromkeys(("proto", "protobuf"), "proto"),
    "go": "go", "golang": "go", "rust": "rust", "rs": "rust",
}  # fmt: skip
_DIFF = re.compile(r"^([+-])(.*)$", re.MULTILINE)
_CLASS = {"comment": "hl-c", "string": "hl-s", "number": "hl-n", "keyword": "hl-k", "tag": "hl-k"}


def highlighted(escaped: str, language: str) -> str:
    """Escaped code with spans; code of a language that is not known, or that is very long, as it is."""
    name = language.lower()
    if len(escaped) > MAX_CODE:
        return escaped
    if name in {"diff", "patch"}:
        return _DIFF.sub(lambda line: f'<span class="hl-{"a" if line[1] == "+" else "d"}">{line[0]}</span>', escaped)
    family = _FAMILIES.get(name)
    if family is None:
        return escaped
    code, end = html.unescape(escaped), 0
    made: list[str] = []
    for match in _pattern(family).finditer(code):
        made += (html.escape(code[end : match.start()], quote=False), f'<span class="{_CLASS[match.lastgroup or ""]}">')
        made += (html.escape(match[0], quote=False), "</span>")
        end = match.end()
    made.append(html.escape(code[end:], quote=False))
    return "".join(made)


@cache
def _pattern(family: str) -> re.Pattern[str]:
    comment, string, words = _KEYWORDS[family]
    choices = [f"(?P<comment>{comment})", f"(?P<string>{string})", f"(?P<number>{_NUMBER})"]
    if family == "markup":
        choices.append(r"(?P<tag></?[A-Za-z][\w:-]*|/?>)")
    if words:
        listed = "|".join(sorted(words.split(), key=len, reverse=True))
        lookbehind = r"(?<![\w.$@-])" if family != "css" else r"(?<![\w-])"
        folded = f"(?i:{listed})" if family == "sql" else f"(?:{listed})"
        choices.append(rf"(?P<keyword>{lookbehind}{folded}(?![\w-]))")
    return re.compile("|".join(choices))
