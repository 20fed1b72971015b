"""`python -m potoroo_runtime.requirements FILE`: the lines of the requirements.txt in an uploaded archive and the Python that it
names, as JSON `{"ok": true, "lines": [...], "python": "3.11" | null}`, or `{"ok": false, "message": "one sentence"}`. The archive is read,
not unpacked, and nothing of it is run."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import PurePosixPath
from typing import List, Optional, Tuple

from .archive import IGNORED
from .errors import ModelError

NAME = "requirements.txt"
#: What makes a folder an MLflow model.
MLMODEL = "MLmodel"
MAX_BYTES = 256 << 10
MAX_LINES = 1000


def _text(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            return data.decode(encoding)
    return data.decode("utf-8")


def _file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    if entry.file_size > MAX_BYTES:
        raise ModelError("model_invalid", f"{entry.filename} has {entry.file_size} bytes; at most {MAX_BYTES} are read.")
    try:
        return _text(archive.read(entry))
    except (UnicodeDecodeError, zipfile.BadZipFile, RuntimeError) as error:
        raise ModelError("model_invalid", f"{entry.filename} cannot be read: {error}.") from None


def _lines(text: str) -> List[str]:
    stripped = [line.strip() for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines()]
    return [line for line in stripped if line and not line.startswith("#")]


def _conda_pip(text: str) -> List[str]:
    """The list below `- pip:` of a conda.yaml, as MLflow writes it."""
    found = re.search(r"^([ \t]*)- pip:[ \t]*\n((?:\1[ \t]+-.*\n?)*)", text, re.MULTILINE)
    return [line.strip()[1:].strip().strip("'\"") for line in found.group(2).splitlines()] if found else []


def needs(path: str) -> Tuple[List[str], Optional[str]]:
    """The requirements of an archive, and the Python it was made with where it is an MLflow model, which says so."""
    if not zipfile.is_zipfile(path):
        return [], None
    with zipfile.ZipFile(path) as archive:
        entries = {PurePosixPath(entry.filename): entry for entry in archive.infolist() if not any(part in IGNORED for part in PurePosixPath(entry.filename).parts)}
        # An MLflow model has code and artifacts below it, which may have requirements that are none of its own.
        top = min((entry.parent for entry in entries if entry.name == MLMODEL), key=lambda folder: len(folder.parts), default=None)
        beside = {name: entries.get(top / name) for name in (NAME, "conda.yaml", "python_env.yaml")} if top is not None else {}
        found = [beside[NAME]] if beside.get(NAME) else [entry for entry in archive.infolist() if entries.get(PurePosixPath(entry.filename)) is not None and PurePosixPath(entry.filename).name == NAME] if top is None else []
        if len(found) > 1:
            raise ModelError("model_invalid", f"The archive has {len(found)} files named {NAME}: {', '.join(repr(entry.filename) for entry in found[:4])}. Keep one.")
        texts = {name: _file(archive, entry) for name, entry in beside.items() if entry is not None and name != NAME}
        lines = _lines(_file(archive, found[0])) if found else _conda_pip(texts.get("conda.yaml", ""))
    if len(lines) > MAX_LINES:
        raise ModelError("model_invalid", f"{found[0].filename if found else 'conda.yaml'} has {len(lines)} lines; at most {MAX_LINES} are read.")
    python = re.search(r"^python:\s*['\"]?(3\.\d+)", texts.get("python_env.yaml", ""), re.MULTILINE) or re.search(r"^\s*- python=+(3\.\d+)", texts.get("conda.yaml", ""), re.MULTILINE)
    return lines, python.group(1) if python else None


if __name__ == "__main__":
    try:
        lines, python = needs(sys.argv[1])
        answer: dict = {"ok": True, "lines": lines, "python": python}
    except ModelError as error:
        answer = {"ok": False, "message": error.message}
    except (OSError, zipfile.BadZipFile) as error:
        answer = {"ok": False, "message": f"The archive cannot be read: {error}."}
    json.dump(answer, sys.stdout)
