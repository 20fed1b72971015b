"""Unpacks an uploaded zip without letting it write elsewhere, link elsewhere or fill the disk."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from .errors import ModelError

MAX_FILES = 20_000
MAX_BYTES = 32 << 30
#: A file may grow this much over its packed size, once it is over a floor below which it does no harm.
MAX_RATIO = 200
RATIO_FLOOR = 64 << 20
# What operating systems leave behind in zips.
IGNORED = ("__MACOSX", ".DS_Store", "Thumbs.db", "__pycache__")


def _refuse(message: str) -> ModelError:
    return ModelError("model_invalid", message)


def _checked(name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (path.parts and path.parts[0].endswith(":")):
        raise _refuse(f"The archive's entry {name!r} points outside the archive. Pack it again with relative paths only.")
    return path


def unpack(archive: Path, target: Path, max_bytes: int = MAX_BYTES) -> Path:
    """Unpacks into `target`; gives the folder that holds the content: `target`, or the one folder that is all there is in it."""
    try:
        zipped = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError) as error:
        raise _refuse(f"The file is not a zip archive, or it is cut off: {error}.") from None
    with zipped:
        entries = [entry for entry in zipped.infolist() if not any(part in IGNORED for part in PurePosixPath(entry.filename).parts)]
        if len(entries) > MAX_FILES:
            raise _refuse(f"The archive has {len(entries)} entries; at most {MAX_FILES} are unpacked.")
        seen = set()
        total = 0
        for entry in entries:
            path = _checked(entry.filename)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refuse(f"The archive's entry {entry.filename!r} is a link or a special file. Pack plain files only.")
            if path in seen and not entry.is_dir():
                raise _refuse(f"The archive has two entries named {entry.filename!r}. Pack each file once.")
            seen.add(path)
            total += entry.file_size
            if entry.file_size > RATIO_FLOOR and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
                raise _refuse(f"The archive's entry {entry.filename!r} grows from {entry.compress_size} to {entry.file_size} bytes; more than {MAX_RATIO} times is not unpacked.")
        if total > max_bytes:
            raise _refuse(f"The archive unpacks to {total} bytes; at most {max_bytes} are unpacked.")
        for entry in entries:
            _write(zipped, entry, target / _checked(entry.filename))
    return content_of(target)


def _write(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No more than the size that the archive says is unpacked; where that is a lie, the checksum is wrong.
        with zipped.open(entry) as packed, open(path, "xb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _refuse(f"The archive's entry {entry.filename!r} cannot be unpacked: {error}.") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _refuse(f"The archive's entry {entry.filename!r} is both a file and a folder, or is there twice.") from None


def content_of(folder: Path) -> Path:
    while True:
        entries = [entry for entry in folder.iterdir() if entry.name not in IGNORED]
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        folder = entries[0]
