"""How the scripts of this folder run the SDK guide's examples and hold what comes out against what the guide prints.

A printed thing is compared by its fields and the kind of value in each, because ids, times and numbers are those of another
server and other data. Whatever differs has to be a row of docs/guide.md, named here; a row whose difference is gone fails too."""

import contextlib
import datetime
import html.parser
import io
import json
import os
import pathlib
import re
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import wallaroo
from dateutil.tz import tzutc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import API, raises, Steps  # noqa: E402

example = Steps()
os.environ["WALLAROO_URL"] = os.environ["POTOROO_URL"]

KINDS = (
    ("uuid", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    ("sha", r"[0-9a-f]{64}"),
    ("time", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?\+00:00"),
    ("second", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
    ("day-month", r"\d{4}-\d\d-[A-Z][a-z]{2} \d\d:\d\d:\d\d"),
    ("bool", r"True|False"),
    ("int", r"-?\d+"),
    ("none", r"None|"),
)


def because(*rows: str):
    """Tells the test which rows of docs/guide.md explain what was just seen."""
    for row in rows:
        print(json.dumps({"row": row}), flush=True)


def _word(text: str) -> str:
    parts = text.split(", ")
    if len(parts) > 1 and all(re.fullmatch(KINDS[0][1], part) for part in parts):
        return "uuids"
    return next((kind for kind, pattern in KINDS if re.fullmatch(pattern, text.strip())), "text")


def kind(value) -> str:
    """The kind of one value: `float`, `[float]`, `uuid`, `time`, `text` and so on."""
    if value is None:
        return "none"
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, np.integer)):
        return "int"
    if isinstance(value, (float, np.floating)):
        return "float"
    if isinstance(value, (pd.Timestamp, datetime.datetime, np.datetime64)):
        return "time"
    if isinstance(value, (list, tuple, np.ndarray)):
        return f"[{kind(value[0])}]" if len(value) else "[]"
    if isinstance(value, dict):
        return "dict"
    return _word(str(value))


class _Cells(html.parser.HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.rows = []
        self.feed(text)

    def handle_starttag(self, tag, _):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "br" and self.rows:
            self.rows[-1][-1] += "\n"

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def _nested(value, at=""):
    if isinstance(value, dict) and value:
        return {k: v for name, inner in value.items() for k, v in _nested(inner, f"{at}.{name}" if at else name).items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _nested(value[0], f"{at}[]")
    return {at: kind(value)}


def cells(thing) -> list:
    """The rows of what a notebook shows, as lists of text; the header first where there is one."""
    return _Cells(thing if isinstance(thing, str) else thing._repr_html_()).rows


def shape(thing) -> dict:
    """Fields and kinds of what a notebook prints: of a DataFrame, an Arrow table, a dictionary, an HTML table or, last, a repr."""
    if isinstance(thing, pd.DataFrame):
        return {name: kind(thing[name].iloc[0]) for name in thing.columns}
    if isinstance(thing, pa.Table):
        return {field.name: str(field.type) + ("" if field.nullable else " not null") for field in thing.schema}
    if isinstance(thing, (dict, list)) and not hasattr(thing, "_repr_html_"):
        return _nested(thing)
    if hasattr(thing, "_repr_html_"):
        rows = [row for row in cells(thing) if row != ["Field", "Value"]]
        if len(rows[0]) == 2:
            return {name: kind(value) for name, value in rows}
        return dict(zip(rows[0], map(kind, rows[1])))
    return typed(thing)


def told(fields: str) -> dict:
    """What the guide prints, as `name: kind` with commas between."""
    return dict(pair.rsplit(": ", 1) for pair in fields.split(", ")) if fields else {}


def _named(field: str, differ: set) -> set:
    """`a*` stands for all fields that begin with `a` and differ."""
    if not field.endswith("*"):
        return {field}
    return {name for name in differ if name.startswith(field[:-1])} or {field}


def typed(thing) -> dict:
    """The shape of what a plain Python prompt prints, where a notebook would show a table."""
    return _nested(eval(repr(thing), {"datetime": datetime, "tzutc": tzutc}))  # noqa: S307 - the client prints it as Python


def prints(thing, guide: str | dict, order: str | None = None, **rows: str | list):
    """Holds the shape of `thing` against the guide's. `rows`: by row of docs/guide.md (with _ for -), the fields that differ;
    `name*` are all that begin so. `order`: the row that tells why they come in another order."""
    ours = thing if isinstance(thing, dict) and all(isinstance(v, str) for v in thing.values()) else shape(thing)
    wanted = told(guide) if isinstance(guide, str) else guide
    differ = {name for name in {*ours, *wanted} if ours.get(name) != wanted.get(name)}
    known = {name for names in rows.values() for each in ([names] if isinstance(names, str) else names) for name in _named(each, differ)}
    report = {name: (wanted.get(name, "nothing"), ours.get(name, "nothing")) for name in sorted(differ ^ known)}
    assert differ == known, f"differences (guide, ours) that are not as documented: {report}\n ours: {ours}"
    both = [name for name in ours if name in wanted and name not in known]
    in_order = both == [name for name in wanted if name in both]
    assert in_order == (order is None), f"{'the same' if in_order else 'another'} order: {list(ours)}"
    because(*(row.replace("_", "-") for row in rows), *([order] if order else []))
    return thing


def same(ours, guide, row: str | None = None, instead=None):
    """Text and single values. With `row`: the guide prints `guide`, and here it is `instead`."""
    if row is None:
        assert ours == guide, f"{ours!r} is not the guide's {guide!r}"
        return
    assert ours == instead != guide, f"{ours!r} is neither {guide!r} nor {instead!r}"
    because(row)


@contextlib.contextmanager
def cannot(row: str, *words: str, kind=Exception):
    """The guide's own lines, which do not run with this client; `row` tells what to write instead."""
    with raises(*words, kind=kind):
        yield
    because(row)


@contextlib.contextmanager
def written():
    """What the block writes to standard output and standard error."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        yield text


def until(read, enough):
    """What `read` gives once `enough` is content with it; logs are there a moment after the answer."""
    for _ in range(100):
        found = read()
        if enough(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"still not as it should be: {found}")


def client(**options):
    """A client as the guide makes one inside a platform: address, user and password are in the environment."""
    return wallaroo.Client(auth_type="user_password", **options)


def workspace(wl, name: str):
    """A workspace for one script, so that lists hold what the script made and nothing else."""
    made = wl.create_workspace(name)
    wl.set_current_workspace(made)
    return made
