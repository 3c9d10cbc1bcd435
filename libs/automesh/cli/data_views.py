"""Datasets, versions and statistics for people at a terminal."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from automesh.cli.api import Json
from automesh.cli.output import age, console, literal, table

MAX_CELL = 40
WIDE = 100
"""Columns of a terminal that has room for everything."""
_BARS = " ▁▂▃▄▅▆▇█"
_STATE = "VERSION_STATE_"
_STYLES = {"PROCESSING": "blue", "READY": "green", "REJECTED": "yellow", "FAILED": "red"}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_KIBI = 1024


def dataset_row(dataset: Json) -> list[str | Text]:
    """A line of a list."""
    latest, last = int(dataset.get("latestVersion", 0)), int(dataset.get("lastVersion", 0))
    shown = str(latest) if latest == last else f"{latest} (of {last})"
    labels = " ".join(f"{key}={value}" for key, value in sorted(dataset.get("labels", {}).items()))
    return [dataset["dataId"], dataset["name"], shown, age(dataset.get("updateTime", "")), labels]


def version_row(version: Json) -> list[str | Text]:
    """A line of a list."""
    return [
        str(version["version"]),
        state_text(version),
        str(version.get("rows", 0)),
        size_text(version.get("size", 0)),
        version.get("digest", "")[:12],
        age(version.get("createTime", "")),
        source_text(version.get("source", {})),
    ]


def show_dataset(dataset: Json) -> None:
    """All about it but its versions."""
    rows: list[list[str | Text]] = [["dataset", dataset["dataId"]], ["name", dataset["name"]]]
    labels = " ".join(f"{key}={value}" for key, value in sorted(dataset.get("labels", {}).items()))
    details = (("description", dataset.get("description")), ("labels", labels), ("by", dataset.get("createdBy")))
    rows += [[label, value] for label, value in details if value]
    console.print(table(["", ""], rows))


def show_version(version: Json) -> None:
    """Columns and parts, or what went wrong."""
    rows: list[list[str | Text]] = [["version", str(version["version"])], ["state", state_text(version)]]
    details = (
        ("made of", source_text(version.get("source", {}))),
        ("rows", version.get("rows")),
        ("size", size_text(version["size"]) if int(version.get("size", 0)) else ""),
        ("digest", version.get("digest")),
        ("task", version.get("taskId")),
        ("window", window_text(version.get("window"))),
        ("parts", parts_text(version.get("parts", []))),
    )
    rows += [[label, str(value)] for label, value in details if value not in (None, "", 0, "0")]
    console.print(table(["", ""], rows))
    if failure := version.get("failure"):
        console.print(
            Text.assemble(literal(failure.get("reason", ""), "red"), " ", literal(failure.get("message", "")))
        )
    if checks := version.get("report", {}).get("checks"):
        console.print(table(["COLUMN", "CHECK", "HELD", "FAILED ROWS", "EXAMPLES"], map(check_row, checks)))
    if columns := version.get("columns"):
        console.print(table(["COLUMN", "TYPE", "NULLS"], map(column_row, columns)))


def check_row(check: Json) -> list[str | Text]:
    """One expectation and what came of it."""
    held = Text("yes", "green") if check.get("passed") else Text("no", "red")
    places = zip(check.get("rowExamples", []), check.get("valueExamples", []), strict=False)
    examples = ", ".join(f"{value!r} in row {row}" for row, value in list(places)[:3])
    return [check.get("column", ""), check.get("check", ""), held, str(check.get("failedRows", 0)), examples]


def column_row(column: Json) -> list[str | Text]:
    """Name, type, and whether it holds nulls."""
    kind = column.get("type", "").removeprefix("COLUMN_TYPE_").lower()
    return [column["name"], kind, "yes" if column.get("nullable") else ""]


def statistics_row(column: Json) -> list[str | Text]:
    """Numbers with a histogram; other columns with their most frequent values."""
    row: list[str | Text] = [column["column"], str(column.get("nulls", 0)), str(column.get("distinct", 0))]
    if "histogram" in column:
        numbers = (column.get(key, 0) for key in ("min", "mean", "max", "std"))
        return [*row, *map(number_text, numbers), histogram_text(column["histogram"], narrow=console.width < WIDE)]
    top = ", ".join(f"{cell(each['value'])} ({each.get('count', 0)})" for each in column.get("top", [])[:3])
    return [*row, "", "", "", "", top]


def histogram_text(histogram: Json, *, narrow: bool = False) -> str:
    """A bar an interval: ▁▃█▂. In a narrow terminal one for two: a line of bars that is broken says nothing."""
    counts = [int(count) for count in histogram.get("counts", [])]
    if narrow:
        counts = [sum(counts[at : at + 2]) for at in range(0, len(counts), 2)]
    most = max(counts, default=0)
    if not most:
        return ""
    steps = len(_BARS) - 1
    return "".join(_BARS[-(-count * steps // most)] for count in counts)


def state_text(version: Json) -> Text:
    """READY in green and so on."""
    state = version.get("state", "").removeprefix(_STATE)
    return literal(state, _STYLES.get(state, "white"))


def source_text(source: Json) -> str:
    """In a few words."""
    if upload := source.get("upload"):
        return str(upload.get("uploadId", "upload"))
    if dataset := source.get("dataset"):
        return f"{dataset.get('dataId', '')} {dataset.get('version', '')}".strip()
    if url := source.get("url"):
        return str(url.get("url", "")).partition("?")[0]
    if "generator" in source:
        return f"generator {source['generator'].get('kind') or 'sine'}"
    return ""


def parts_text(parts: list[Json]) -> str:
    """train 800 rows, test 200 rows."""
    shown = []
    for part in parts:
        windows = f", {part['windows']} windows" if int(part.get("windows", 0)) else ""
        shown.append(f"{part['name']} {part.get('rows', 0)} rows{windows}")
    return "; ".join(shown)


def window_text(window: Json | None) -> str:
    """24 rows every 12, horizon 1."""
    if not window:
        return ""
    horizon = f", horizon {window['horizon']}" if window.get("horizon") else ""
    return f"{window.get('length', 0)} rows every {window.get('stride') or window.get('length', 0)}{horizon}"


def node_row(node: Json, sign: str) -> list[str | Text]:
    """A line of a lineage."""
    name = f"{node.get('id', '')} {node.get('version') or ''}".strip()
    return [f"{sign}{node.get('distance', 0)}", node.get("kind", ""), name]


def here_row(name: str) -> list[str | Text]:
    """The line of the version whose lineage it is."""
    return [Text("0", "bold"), Text("this", "bold"), literal(name, "bold")]


def say_upload(upload: Json) -> None:
    """What to do with it next."""
    console.print(literal(f"{upload['uploadId']}  {size_text(upload.get('size', 0))}  {upload.get('name', '')}"))
    hint = f"Process it: automesh data process NAME --upload {upload['uploadId']} --wait"
    console.print(literal(hint, "dim"), soft_wrap=True)


def size_text(size: object) -> str:
    """3.4 MiB."""
    value, unit = float(str(size)), 0
    while value >= _KIBI and unit < len(_UNITS) - 1:
        value, unit = value / _KIBI, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def number_text(value: object) -> str:
    """At most five significant digits; JSON writes what is no number as text."""
    return f"{value:.5g}" if isinstance(value, int | float) else str(value)


def cell(value: Any) -> str:
    """A value in a table, cut where it is long."""
    if value is None:
        return "·"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"
