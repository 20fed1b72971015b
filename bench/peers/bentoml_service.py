"""BentoML services as its documentation has you write them: bentoml serve bentoml_service:Models. DATA names the folder of
models; BATCH=1 turns its adaptive batching on for what may share a call."""
import os
import pickle

import bentoml
import numpy as np
import pandas as pd
from step import wallaroo_json

MERGED = {"batchable": True, "max_batch_size": 64, "max_latency_ms": 60_000} if os.environ.get("BATCH") == "1" else {}


def opened(name):
    with open(f"{os.environ['DATA']}/{name}.pkl", "rb") as file:
        return pickle.load(file)


@bentoml.service(workers=1, traffic={"timeout": 60})
class Models:
    def __init__(self):
        self.models = {name: opened(name) for name in ("linear", "forest")}

    @bentoml.api(**MERGED)
    def linear(self, inputs: np.ndarray) -> np.ndarray:
        return self.models["linear"].predict(inputs)

    @bentoml.api(**MERGED)
    def forest(self, inputs: np.ndarray) -> np.ndarray:
        return self.models["forest"].predict(inputs)

    @bentoml.api
    def step(self, data: pd.DataFrame) -> pd.DataFrame:
        return wallaroo_json(data)
