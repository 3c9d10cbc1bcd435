"""Bytes before they are rows: compression and encodings are undone within bounds."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

import zstandard

from services.data.domain.source import Encoding
from services.data.processor.faults import DataTooLarge, DataUnreadable
from services.data.processor.ingest.guarded import reading

CHUNK = 4 * 1024 * 1024
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SUFFIXES = {".gz", ".zst", ".zstd"}


def head(path: Path, length: int = 16) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(length)


def plain_suffix(name: str) -> str:
    """The ending of a file's name, without that of a compression."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in _SUFFIXES else path.suffix


def expanded(path: Path, scratch: Path, max_bytes: int) -> Path:
    """The file itself, or what it is compressed from (gzip, zstd). Raises DataTooLarge beyond `max_bytes`."""
    start = head(path)
    if not start.startswith((_GZIP, _ZSTD)):
        if (size := path.stat().st_size) > max_bytes:
            raise DataTooLarge(f"{path.name} has {size} bytes, at most {max_bytes} are possible: send less")
        return path
    target = scratch / f"{path.name}.expanded"
    with reading(path.name), path.open("rb") as file, target.open("wb") as out:
        try:
            _copy(_opened(file, start), out, path, max_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise DataUnreadable(f"{path.name} is cut or damaged: it cannot be decompressed ({error})") from error
    return target


def _opened(file: IO[bytes], start: bytes) -> IO[bytes]:
    if start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value] # it reads as one
    # A frame that asks for a window of more than 128 MiB is refused.
    return zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(file, read_across_frames=True)


def _copy(source: IO[bytes], target: IO[bytes], path: Path, max_bytes: int) -> None:
    total = 0
    while chunk := source.read(CHUNK):
        total += len(chunk)
        if total > max_bytes:
            raise DataTooLarge(
                f"{path.name} has {path.stat().st_size} bytes and expands to more than {max_bytes}, "
                "which is the most that is possible: send less at once"
            )
        target.write(chunk)


def as_utf8(path: Path, name: str, encoding: Encoding, scratch: Path) -> Path:
    """A file in UTF-8 without a byte order mark; the same where it is that already.

    Raises DataUnreadable with the place of the first byte that the encoding does not have.
    """
    start = head(path, 3)
    if encoding is Encoding.UTF_8 and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataUnreadable(f'{name} begins as UTF-16 does: read it with encoding "utf-16"')
    marked = start.startswith(codecs.BOM_UTF8) and encoding in {Encoding.UTF_8, Encoding.UTF_8_SIG}
    if encoding in {Encoding.UTF_8, Encoding.UTF_8_SIG} and not marked:
        for _ in texts(path, name, Encoding.UTF_8):
            pass
        return path
    target = scratch / f"{Path(name).name}.utf8"
    with target.open("w", encoding="utf-8", newline="") as out:
        for text in texts(path, name, Encoding.UTF_8_SIG if marked else encoding):
            out.write(text)
    return target


def texts(path: Path, name: str, encoding: Encoding) -> Iterator[str]:
    """The text, chunk by chunk."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            waiting = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                _wrong_byte(name, encoding, read - waiting + error.start, error)
            if "\x00" in text:
                _nul(name, path)
            yield text
            read += len(chunk)
            if not chunk:
                return


def _wrong_byte(name: str, encoding: Encoding, at: int, error: UnicodeDecodeError) -> NoReturn:
    byte = error.object[error.start] if error.start < len(error.object) else 0
    others = ", ".join(f'"{other}"' for other in Encoding if other is not encoding)
    raise DataUnreadable(
        f"{name} is not {encoding}: byte {at} (0x{byte:02x}) does not belong there: "
        f"save the file as UTF-8, or say its encoding ({others})",
        byte=at,
    ) from error


def _nul(name: str, path: Path) -> None:
    at = next((place for place in _nuls(path)), 0)
    raise DataUnreadable(
        f'{name}: byte {at} is NUL, which no text has: it is a binary file, or UTF-16 (then say encoding "utf-16")',
        byte=at,
    )


def _nuls(path: Path) -> Iterator[int]:
    before = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if (at := chunk.find(b"\x00")) >= 0:
                yield before + at
            before += len(chunk)
