"""The person's own editor, and the file that it works on, which stays until the text is saved."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from automesh.cli.api import Json
from automesh.cli.doc_files import text_of
from automesh.cli.errors import CliError
from automesh.cli.target import save_private
from automesh.mesh.settings import read_settings

USUAL = ("nano", "vim", "vi")
NAME_ONE = "Name one: EDITOR=nano automesh doc edit ..."
_BASE, _MINE, _LOCK = ".base", ".mine", ".lock"
_MARKERS = re.compile(r"^(<{7}|>{7})( |$)", re.MULTILINE)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class EditorSettings(BaseSettings):
    """What the environment says of editors, as for every program."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    visual: str = Field("", description="the command that edits a file on a whole screen")
    editor: str = Field("", description="the command that edits a file")


def has_markers(text: str) -> bool:
    """Whether somebody still has to decide between two sides."""
    return bool(_MARKERS.search(text))


@dataclass(frozen=True, slots=True)
class Scratch:
    """The file of one document, in the folder of the sign-in, for its owner only."""

    file: Path
    name: str

    @classmethod
    def of(cls, folder: Path, document: Json) -> Scratch:
        """The same document has the same file: what an earlier attempt left is found again."""
        place = f"{document['space']}:{document['path']}"
        digest = hashlib.sha256(f"{place} {document['documentId']}".encode()).hexdigest()[:8]
        name = f"{_UNSAFE.sub('-', place)[-80:].strip('-')}-{digest}"
        return cls(folder / "edits" / f"{name}.md", name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else on this machine edits the same document meanwhile: both would write to this file."""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self.file.with_suffix(_LOCK)
        with lock.open("w") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CliError("you are editing this document in another terminal: finish there first") from None
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether an earlier attempt left it."""
        return self.file.is_file()

    def holds(self, text: str) -> bool:
        """Whether it has this text and no other bytes."""
        return self.file.read_bytes() == text.encode()

    def text(self) -> str:
        """What it holds. Raises CliError for what is not UTF-8."""
        return text_of(self.file, self.file.read_bytes())

    def base(self) -> str:
        """The revision that an earlier attempt began with; empty when nobody knows."""
        with suppress(OSError):
            return self.file.with_suffix(_BASE).read_text(encoding="utf-8").strip()
        return ""

    def write(self, text: str, base: str) -> None:
        """Replaces it, all or nothing; `base` is the revision that the text was made from."""
        save_private(self.file.with_suffix(_BASE), base)
        save_private(self.file, text)

    def set_aside(self) -> Path:
        """Whatever it holds, where nothing but saving the document removes it."""
        return self.file.replace(self.file.with_suffix(_MINE))

    def keep_mine(self, text: str) -> Path:
        """The text as its writer left it, beside the merge that takes its place in the editor."""
        save_private(self.file.with_suffix(_MINE), text)
        return self.file.with_suffix(_MINE)

    def discard(self) -> None:
        """The text is safe elsewhere; what was set aside stays."""
        for suffix in (".md", _BASE):
            self.file.with_suffix(suffix).unlink(missing_ok=True)

    def discard_all(self) -> None:
        """The document is saved."""
        self.discard()
        self.file.with_suffix(_MINE).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Editor:
    """A command line that edits a file."""

    words: tuple[str, ...]

    @classmethod
    def of_environment(cls) -> Editor:
        """$VISUAL, $EDITOR, or what is usual. Raises CliError when there is none."""
        settings = read_settings(EditorSettings)
        named = settings.visual.strip() or settings.editor.strip() or next(filter(shutil.which, USUAL), "")
        if not named:
            raise CliError("there is no editor here", next_step=NAME_ONE)
        try:
            return cls(tuple(shlex.split(named)))
        except ValueError as error:
            raise CliError(f"the editor {named!r} is no command: {error}", next_step=NAME_ONE) from error

    def edit(self, file: Path) -> None:
        """Returns once the person is done with it."""
        try:
            with _interrupts_left_to_the_editor():
                done = subprocess.run([*self.words, str(file)], check=False)
        except OSError as error:
            raise CliError(
                f"the editor {self.words[0]!r} cannot be started: {error.strerror}; the text is in {file}",
                next_step=NAME_ONE,
            ) from error
        if not file.is_file():
            raise CliError("the editor has removed the file: nothing is saved")
        if done.returncode:
            raise CliError(
                f"the editor ended with status {done.returncode}; the text is in {file}",
                next_step="Go on with it: the same command again",
            )


@contextmanager
def _interrupts_left_to_the_editor() -> Iterator[None]:
    """Ctrl-C means something there, and reaches all who share the terminal. (The editor would inherit SIG_IGN.)"""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
