"""One job: templates are read or filled in, and what is wrong with them is put into words.

    {"op": "render", "parts": {"body": "# {{ title }}"}, "values": {"title": "Start"}, "limits": {...}}
    {"op": "check", "parts": {...}, "limits": {...}}

is answered by one of

    {"state": "done", "parts": {"body": "# Start"}}
    {"state": "done", "names": [["body", "title", 1]]}      part, name that is used, and its line
    {"state": "wrong", "part": "body", "line": 1, "message": "'titel' is undefined"}
    {"state": "costly", "part": "body", "line": 1, "message": "..."}

Line 0: it is not known.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from jinja2 import meta, nodes
from jinja2.debug import rewrite_traceback_stack  # noqa: F401 - imported here, as no file can be opened later on
from jinja2.exceptions import TemplateSyntaxError

from services.doc.templating.sandbox import Sandbox, TooCostly, parsed

LONGEST_MESSAGE = 300
_FILE = "<template>"
_DEEP = "it is nested too deeply, or calls itself without end"

Answer = dict[str, Any]


def answer(job: Mapping[str, Any]) -> Answer:
    """Never raises but for what cannot be caught."""
    work = _names if job["op"] == "check" else _rendered
    part = ""
    done: Answer = {"state": "done", "parts": {}, "names": []}
    try:
        left = int(job["limits"]["output"])
        for part, source in job["parts"].items():
            left -= work(done, part, source, job.get("values", {}), left)
    except (TooCostly, MemoryError) as error:
        return _said("costly", part, _line(error), str(error) or "it takes more memory than a template may have")
    except RecursionError:
        return _said("costly", part, 0, _DEEP)
    except TemplateSyntaxError as error:
        return _said("wrong", part, error.lineno, error.message or "it cannot be read")
    except Exception as error:  # whatever a template may provoke
        return _said("wrong", part, _line(error), _told(error))
    return done


def _rendered(done: Answer, part: str, source: str, values: Mapping[str, Any], most: int) -> int:
    sandbox = Sandbox()
    template = sandbox.from_string(parsed(sandbox, source))
    pieces, size = [], 0
    for piece in template.generate(values):
        size += len(piece.encode())  # raises for halves of characters
        if size > most:
            raise TooCostly(f"it makes more than {most} bytes")
        pieces.append(piece)
    done["parts"][part] = "".join(pieces)
    return size


def _names(done: Answer, part: str, source: str, _: Mapping[str, Any], __: int) -> int:
    sandbox = Sandbox()
    tree = parsed(sandbox, source)
    used = meta.find_undeclared_variables(tree) - sandbox.globals.keys()
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in used:
            lines[node.name] = min(node.lineno, lines.get(node.name, node.lineno))
    done["names"] += [[part, name, lines.get(name, 0)] for name in sorted(used)]
    sandbox.compile(tree)
    return 0


def _told(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "it makes half a character: mend its \\ud... escapes"
    if isinstance(error, SyntaxError):
        return _DEEP
    return str(error).strip() or type(error).__name__


def _line(error: BaseException) -> int:
    """The line of the template in which it happened."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == _FILE]
    return lines[-1] if lines else 0


def _said(state: str, part: str, line: int, message: str) -> Answer:
    return {"state": state, "part": part, "line": line, "message": message.splitlines()[0][:LONGEST_MESSAGE]}
