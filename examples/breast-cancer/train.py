"""Trains the example model and writes what the example and its tests need, all beside this file.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/python train.py

Data: the Wisconsin diagnostic breast-cancer data that scikit-learn bundles, 569 rows of 30 measurements.

- model.onnx     input `tensor` float32 [rows, 30]; outputs `label` int64 [rows] (0 malignant, 1 benign) and
                 `probabilities` float32 [rows, 2]
- rows.json      a few rows that the training did not see, as pandas records
- expected.json  scikit-learn's own answers to these rows, in float64
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

here = Path(__file__).parent
sample_rows = 8

x, y = load_breast_cancer(return_X_y=True)
# The model takes float32; training on the same values keeps the two sides comparable.
x = x.astype(np.float32)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=7, stratify=y)

model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
model.fit(x_train, y_train)
print(f"accuracy on {len(x_test)} rows not trained on: {model.score(x_test, y_test):.3f}")

onnx = convert_sklearn(
    model,
    "breast-cancer",
    initial_types=[("tensor", FloatTensorType([None, x.shape[1]]))],
    final_types=[("label", Int64TensorType([None])), ("probabilities", FloatTensorType([None, 2]))],
    options={id(model): {"zipmap": False}},
    target_opset=17,
)
onnx.opset_import.sort(key=lambda opset: opset.domain)  # the same training gives the same bytes
(here / "model.onnx").write_bytes(onnx.SerializeToString())

rows = x_test[:sample_rows]
labels, probabilities = model.predict(rows), model.predict_proba(rows)

session = onnxruntime.InferenceSession(str(here / "model.onnx"), providers=["CPUExecutionProvider"])
onnx_labels, onnx_probabilities = session.run(None, {"tensor": rows})
np.testing.assert_array_equal(onnx_labels, labels)
np.testing.assert_allclose(onnx_probabilities, probabilities, atol=1e-5)


def lines(records: list[dict]) -> str:
    """JSON with one record a line, so that a change shows as one."""
    return "[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n"


# The shortest decimals that come back as the same float32.
(here / "rows.json").write_text(lines([{"tensor": [float(str(v)) for v in row]} for row in rows]))
(here / "expected.json").write_text(
    lines([{"label": int(a), "probabilities": [float(v) for v in p]} for a, p in zip(labels, probabilities)])
)
print(f"wrote model.onnx, rows.json and expected.json ({len(rows)} rows) to {here}")
