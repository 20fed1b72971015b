"""Models and bodies of the Python benchmark, seeds fixed: python_data.py DIR.

linear: a pipeline that does not convert to ONNX (a FunctionTransformer), scaler and logistic regression over 30 numbers: little
work, so that what a server adds is seen. forest: the same in front of 100 trees. step: a Python step over a DataFrame of four columns.
Bodies are named <model>.<rows>.<form>, what the model itself says to them <model>.<rows>.expected (JSON).
"""
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from step import wallaroo_json  # noqa: E402

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)
X = rng.normal(size=(2000, 30))
y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
COLUMNS = ("amount", "income", "age", "years")


def write(name, columns, frame, expected, kwargs):
    """`columns`: what each encoding is made of; `kwargs`: the arguments of BentoML's function."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, columns.schema) as writer:
        writer.write_table(columns)
    (out / f"{name}.arrow").write_bytes(sink.getvalue().to_pybytes())
    (out / f"{name}.records").write_text(json.dumps(columns.to_pylist()))
    inputs = [{"name": key, "shape": list(np.shape(values)) if np.ndim(values) > 1 else [len(values), 1], "datatype": "FP64", "data": np.ravel(values).tolist(), "parameters": {"content_type": "np"}} for key, values in frame.items()]
    (out / f"{name}.v2").write_text(json.dumps({"inputs": inputs}))
    # mlserver-pandas: a request-wide content type makes one DataFrame of all inputs
    (out / f"{name}.v2pd").write_text(json.dumps({"parameters": {"content_type": "pd"}, "inputs": inputs}))
    (out / f"{name}.kw").write_text(json.dumps(kwargs))
    (out / f"{name}.expected").write_text(json.dumps(expected))


for name, last in (("linear", LogisticRegression()), ("forest", RandomForestClassifier(100, max_depth=8, random_state=1))):
    model = make_pipeline(FunctionTransformer(np.arcsinh), StandardScaler(), last).fit(X, y)
    (out / f"{name}.pkl").write_bytes(pickle.dumps(model))
    for rows in (1, 1000):
        x = X[:rows]
        columns = pa.table({"inputs": pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 30)})
        write(f"{name}.{rows}", columns, {"inputs": x}, {"predictions": model.predict(x).tolist()}, {"inputs": x.tolist()})
        np.save(out / f"{name}.{rows}.npy", x)
for rows in (1, 1000):
    frame = pd.DataFrame({name: np.abs(rng.normal(size=rows)) + 1 for name in COLUMNS})
    write(f"step.{rows}", pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(), frame, {name: values.tolist() for name, values in wallaroo_json(frame).items()}, {"data": frame.to_dict(orient="records")})
    frame.to_pickle(out / f"step.{rows}.pandas")
