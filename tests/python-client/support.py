"""What the scripts share: a step reporter, a client, and comparisons with onnxruntime."""

import contextlib
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import wallaroo

from steps import Steps  # noqa: F401

API = os.environ["POTOROO_URL"]
TOLERANCE = 1e-5


def client(auth_type="user_password", **options):
    return wallaroo.Client(api_endpoint=API, auth_type=auth_type, interactive=False, **options)


@contextlib.contextmanager
def raises(*words: str, kind=Exception):
    """The block has to fail with a message that holds every word and looks like no stack trace."""
    try:
        yield
    except kind as error:
        text = f"{type(error).__name__}: {error}"
        print(f"    {text[:300]}")
        missing = [w for w in words if w.lower() not in text.lower()]
        assert not missing, f"{missing} not in: {text}"
        assert "    at " not in text and ".ts:" not in text and ".js:" not in text, f"a stack trace: {text}"
    else:
        raise AssertionError(f"no error that says {words}")


def show(thing):
    """Both ways in which a notebook prints an object; they cause the client's deep reads."""
    text = repr(thing)
    html = thing._repr_html_() if hasattr(thing, "_repr_html_") else ""
    assert text
    return html or text


def column(result, name: str) -> np.ndarray:
    """A column of an answer or a log, as one array with the rows first."""
    values = result[name].to_pylist() if isinstance(result, pa.Table) else result[name].tolist()
    return np.array([v.tolist() if isinstance(v, np.ndarray) else v for v in pd.Series(values, dtype=object).map(_plain)])


def _plain(value):
    return [_plain(v) for v in value] if isinstance(value, (list, np.ndarray)) else value


def same(actual: np.ndarray, expected: np.ndarray, what: str):
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(actual.astype(np.float64), expected.astype(np.float64), rtol=TOLERANCE, atol=TOLERANCE, err_msg=what)
    else:
        assert actual.tolist() == expected.tolist(), f"{what}: {actual.tolist()} is not {expected.tolist()}"


def check(result, model, feeds: dict, renamed: dict | None = None):
    """An answer has exactly the columns it should, its inputs are what was sent, its outputs what onnxruntime says."""
    expected = model.run(feeds)
    names = list(result.column_names if isinstance(result, pa.Table) else result.columns)
    inputs = {f"in.{(renamed or {}).get(k, k)}": v for k, v in feeds.items()}
    outputs = {f"out.{k}": v for k, v in expected.items()}
    assert set(names) == {"time", "anomaly.count", *inputs, *outputs}, names
    for name, values in {**inputs, **outputs}.items():
        same(column(result, name), values, name)
    assert column(result, "anomaly.count").tolist() == [0] * len(next(iter(feeds.values())))
    return result
