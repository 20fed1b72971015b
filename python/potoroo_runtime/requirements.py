"""`python -m potoroo_runtime.requirements FILE`: the lines of the requirements.txt in an uploaded archive, as JSON
`{"ok": true, "lines": [...]}`, or `{"ok": false, "message": "one sentence"}`. The archive is read, not unpacked, and nothing of it is run."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import PurePosixPath
from typing import List

from .archive import IGNORED
from .errors import ModelError

NAME = "requirements.txt"
MAX_BYTES = 256 << 10
MAX_LINES = 1000


def _text(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            return data.decode(encoding)
    return data.decode("utf-8")


def read(path: str) -> List[str]:
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        found = [entry for entry in archive.infolist() if PurePosixPath(entry.filename).name == NAME and not any(part in IGNORED for part in PurePosixPath(entry.filename).parts)]
        if len(found) > 1:
            raise ModelError("model_invalid", f"The archive has {len(found)} files named {NAME}: {', '.join(repr(entry.filename) for entry in found[:4])}. Keep one.")
        if not found:
            return []
        if found[0].file_size > MAX_BYTES:
            raise ModelError("model_invalid", f"{found[0].filename} has {found[0].file_size} bytes; at most {MAX_BYTES} are read.")
        try:
            text = _text(archive.read(found[0])).replace("\\\r\n", " ").replace("\\\n", " ")
        except (UnicodeDecodeError, zipfile.BadZipFile, RuntimeError) as error:
            raise ModelError("model_invalid", f"{found[0].filename} cannot be read: {error}.") from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if len(lines) > MAX_LINES:
        raise ModelError("model_invalid", f"{found[0].filename} has {len(lines)} lines; at most {MAX_LINES} are read.")
    return lines


if __name__ == "__main__":
    try:
        answer: dict = {"ok": True, "lines": read(sys.argv[1])}
    except ModelError as error:
        answer = {"ok": False, "message": error.message}
    except (OSError, zipfile.BadZipFile) as error:
        answer = {"ok": False, "message": f"The archive cannot be read: {error}."}
    json.dump(answer, sys.stdout)
