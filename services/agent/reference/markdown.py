"""Text of docstrings (Markdown or reStructuredText, as people write it) to Markdown that breaks no page."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

Link = Callable[[str], str]
"""Where a name leads to, for example "client.md#connect"; empty: nowhere."""

_INLINE = re.compile(
    r":(?:[a-z]+:)?(?:class|func|meth|mod|attr|data|exc|obj|const|ref|doc|term|pep|rfc):`(?P<role>[^`]+)`"
    r"|`(?P<words>[^`<]+?)\s*<(?P<url>https?://[^>\s]+)>`_{1,2}"
    r"|(?<!`)`(?P<reference>[^`<>]+)`_{1,2}(?!\w)"
    r"|(?P<ticks>`+)(?P<code>.+?)(?P=ticks)",
    re.DOTALL,
)
_TARGET = re.compile(r"[~!]?([\w.]+)(?:\(\))?")
_BARE_URL = re.compile(r"(?<![<(\"'])\bhttps?://[^\s<>)\]\"']+[^\s<>)\]\"'.,;:!?]")
_HEADING = re.compile(r"#{1,6}\s+(.+?)\s*#*$")
_UNDERLINE = re.compile(r"([=\-~^\"'*+#])\1{2,}\s*$")
_HEADING_WITHIN = re.compile(r"^((?:\s*(?:[-*+>]|\d{1,9}[.)])\s*)*\s*)(#{1,6})(?=\s|$)")
_RULE = re.compile(r"[\s>]*(=+|-+)\s*")
_DIRECTIVE = re.compile(r"\.\.\s+([\w-]+)::\s*(.*)$")
_FENCE = re.compile(r"(`{3,}(?=[^`]*$)|~{3,})\{?\.?([\w+#-]*)")
_CODE_DIRECTIVES = frozenset({"code-block", "code", "sourcecode", "testcode", "parsed-literal"})
_NOTICES = {"note": "Note", "warning": "Warning", "tip": "Tip", "seealso": "See also", "versionadded": "Since",
            "versionchanged": "Changed in", "deprecated": "Deprecated since", "caution": "Caution",
            "important": "Important", "danger": "Danger", "hint": "Hint"}  # fmt: skip


def to_markdown(text: str, link: Link) -> str:
    """The same for readers of Markdown: no headings, no HTML, code in fences, names as links."""
    return "\n".join(_Blocks(text.splitlines(), link).lines()).strip("\n")


def inline(text: str, link: Link) -> str:
    """One line or paragraph: roles and names become links, what looks like HTML is shown as it is."""
    parts, at = [], 0
    for match in _INLINE.finditer(text):
        parts += [_plain(text[at : match.start()]), _marked(match, link)]
        at = match.end()
    return "".join([*parts, _plain(text[at:])])


def _marked(match: re.Match[str], link: Link) -> str:
    if match["role"]:
        return _of_role(" ".join(match["role"].split()), link)
    if match["url"]:
        return f"[{' '.join(match['words'].split())}]({match['url']})"
    if match["reference"]:
        return _plain(match["reference"])
    text = " ".join(match["code"].split())  # on one line: the next could begin with something that ends the code
    return _code(text, link) if text else ""


def code(text: str) -> str:
    """In backticks, whatever backticks are in it."""
    most = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (most + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _of_role(text: str, link: Link) -> str:
    """`~a.b.C` shows C, `words <a.b.C>` the words."""
    words, _, target = text.partition("<")
    name = (target.rstrip(">") or text).lstrip("~!.")
    shown = words.strip() if target else name.rpartition(".")[2] if text.startswith("~") else name
    to = link(name.removesuffix("()"))
    return f"[{code(shown)}]({to})" if to else code(shown)


def _code(text: str, link: Link) -> str:
    match = _TARGET.fullmatch(text)
    to = link(match[1]) if match else ""
    return f"[{code(text)}]({to})" if to else code(text)


def _plain(text: str) -> str:
    """Without HTML and lonely backticks; addresses are links."""
    escaped = text.replace("`", "\\`")
    escaped = escaped.replace("<", "&lt;") if re.search(r"<[A-Za-z/!?]", text) else escaped
    return _BARE_URL.sub(lambda match: f"<{match[0]}>", escaped)


class _Blocks:
    """Lines, block by block."""

    def __init__(self, lines: list[str], link: Link) -> None:
        self._lines, self._link = lines, link
        self._at = 0

    def lines(self) -> Iterator[str]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            stripped = line.strip()
            if fence := _FENCE.match(stripped):
                yield from self._fenced(_indent(line), fence[1], fence[2] or "text")
            elif stripped.startswith(".. "):
                yield from self._directive(line, stripped)
            elif stripped.startswith(">>>"):
                yield from self._session()
            elif self._is_title() or _HEADING.match(stripped):
                yield self._bold(stripped)
            elif stripped:
                yield from self._paragraph()
            else:
                yield ""
                self._at += 1

    def _bold(self, line: str) -> str:
        heading = None if self._is_title() else _HEADING.match(line)
        self._at += 1 if heading else 2
        return f"**{(heading[1] if heading else line).strip('*')}**"

    def _paragraph(self) -> Iterator[str]:
        lines: list[str] = []
        margin = _indent(self._lines[self._at])
        while self._at < len(self._lines) and self._lines[self._at].strip() and not (lines and self._is_special()):
            line = self._lines[self._at].rstrip()
            self._at += 1
            if not _UNDERLINE.fullmatch(line.strip()) and not _RULE.fullmatch(line):
                # Neither a rule nor what is left of a table's border: below a line it would make a heading of it.
                lines.append(_HEADING_WITHIN.sub(r"\1\\\2", line))
        literal = bool(lines) and lines[-1].endswith("::")
        if literal:
            lines[-1] = lines[-1].removesuffix(":")
        if lines:
            yield inline("\n".join(lines), self._link)
        if literal:
            yield from self._literal(margin, "")

    def _is_special(self) -> bool:
        stripped = self._lines[self._at].strip()
        starts = stripped.startswith((">>>", ".. ")) or _FENCE.match(stripped) or _HEADING.match(stripped)
        return bool(starts) or self._is_title()

    def _fenced(self, margin: int, fence: str, language: str) -> Iterator[str]:
        indent = " " * margin
        yield f"{indent}{fence}{language}"
        self._at += 1
        while self._at < len(self._lines):
            now = self._lines[self._at]
            self._at += 1
            if now.strip().startswith(fence) and not now.strip().strip(fence[0]):
                break
            yield _at(now, indent)
        yield f"{indent}{fence}"

    def _directive(self, line: str, stripped: str) -> Iterator[str]:
        self._at += 1
        match = _DIRECTIVE.match(stripped)
        name, argument = (match[1], match[2]) if match else ("", "")
        if name in _CODE_DIRECTIVES:
            yield from self._literal(_indent(line), argument.strip() or "python")
        elif name in _NOTICES:
            body = [argument, *self._indented(_indent(line))]
            text = " ".join(each.strip() for each in body if each.strip())
            yield f"**{_NOTICES[name]}:** {inline(text, self._link)}"
        else:
            self._indented(_indent(line))  # a picture, a comment, the target of a link: nothing that Markdown has

    def _session(self) -> Iterator[str]:
        indent = " " * _indent(self._lines[self._at])
        yield f"{indent}```python"
        while self._at < len(self._lines) and self._lines[self._at].strip():
            yield _at(self._lines[self._at], indent).replace("```", "'''")
            self._at += 1
        yield f"{indent}```"

    def _literal(self, margin: int, language: str) -> Iterator[str]:
        body = self._indented(margin)
        while body and body[0].strip().startswith(":") and language:
            body.pop(0)  # options of the directive
        least = min((_indent(each) for each in body if each.strip()), default=0)
        code_lines = "\n".join(each[least:].rstrip() for each in body).strip("\n")
        if code_lines:
            yield ""
            yield f"```{language or _language(code_lines)}"
            yield code_lines.replace("```", "'''")
            yield "```"
            yield ""

    def _indented(self, margin: int) -> list[str]:
        """The lines that are further in than `margin`, with the empty ones between."""
        found = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip() and _indent(line) <= margin:
                break
            found.append(line)
            self._at += 1
        while found and not found[-1].strip():
            found.pop()
            self._at -= 1
        return found

    def _is_title(self) -> bool:
        below = self._lines[self._at + 1].strip() if self._at + 1 < len(self._lines) else ""
        line = self._lines[self._at]
        return bool(line.strip()) and not _indent(line) and bool(_UNDERLINE.fullmatch(below))


def _at(line: str, indent: str) -> str:
    """As far in as its fence at least: what is further out would not be in it."""
    return f"{indent}{line[min(len(indent), _indent(line)) :]}".rstrip()


def _language(text: str) -> str:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "text"
    return "python"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
