"""`python -m services.doc.builder FOLDER`: builds the site that FOLDER/job.json describes into FOLDER/out.

Every line that it prints is a JSON object: {"step", "fraction"} while it works. What was made stands in result.json.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path

from services.doc.builder.build import Builder
from services.doc.builder.job import OUT, RESULT, read_job


def main(folder: Path, memory: int = 0) -> None:
    """Within `memory` bytes of address space, unless that is 0."""
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    gc.disable()  # everything made here is needed to the end
    builder = Builder(folder, read_job(folder), _tell)
    result = builder.build()
    out = folder / OUT
    out.mkdir()
    for digest, content in {file.sha256: file.content for _, file in builder.files if file.content is not None}.items():
        (out / digest).write_bytes(content)
    (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")


def _tell(step: str, fraction: float) -> None:
    sys.stdout.write(json.dumps({"step": step, "fraction": round(fraction, 3)}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)  # noqa: PLR2004 - folder and memory
