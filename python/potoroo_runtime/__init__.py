"""The Python side of a Potoroo engine: one process serves one model. `python -m potoroo_runtime --help` says how."""

import os

# Libraries that tell their makers what they are used for read these when they are imported. What runs here is its owner's
# business, so they stay off unless the model's own environment says otherwise.
for _name in ("DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "ORT_DISABLE_TELEMETRY"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
