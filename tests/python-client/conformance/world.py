"""What the checks share: two users, a workspace, model files and what onnxruntime says of them. Later checks build on what earlier ones made."""

import datetime
import os
import pathlib
import tempfile
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import wallaroo
from wallaroo.framework import Framework

import models
from support import client, column, same

ONNX = Framework.ONNX
EMAIL = os.environ["WALLAROO_USER"]


def sign_in(user, password, auth_type="user_password", **options):
    """Another user's client, with a token cache of its own: the client keeps one for all servers and users."""
    before = {k: os.environ.get(k) for k in ("WALLAROO_USER", "WALLAROO_PASSWORD", "XDG_CACHE_HOME")}
    os.environ.update(WALLAROO_USER=user, WALLAROO_PASSWORD=password, XDG_CACHE_HOME=tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))
    try:
        return client(auth_type, **options)
    finally:
        os.environ.update({k: v for k, v in before.items() if v is not None})


class World:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))
        self.files = {name: models.dense(self.folder, name, seed) for name, seed in (("first", 1), ("second", 2))}
        self.rng = np.random.default_rng(11)
        self.config = wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(0.25).memory("512Mi").build()

    def rows(self, count):
        return self.rng.normal(size=(count, models.FEATURES)).round(4).astype(np.float32)

    def expected(self, name, values):
        return self.files[name].run({"dense_input": values})["dense_1"]

    def answered(self, result, name, values, source="tensor"):
        """The answer is what was sent and what onnxruntime makes of it."""
        same(column(result, f"in.{source}").astype(np.float32), values, "inputs")
        same(column(result, "out.dense_1"), self.expected(name, values), "outputs")
        assert column(result, "anomaly.count").tolist() == [0] * len(values)
        return result

    @staticmethod
    def until(read, done, what, seconds=30):
        """What is read once it is so: logs arrive within a second or so, deployments change when they change."""
        end = time.monotonic() + seconds
        while not done(value := read()):
            assert time.monotonic() < end, f"{what}: {value}"
            time.sleep(0.1)
        return value


def frame(values, name="tensor", **more):
    return pd.DataFrame({name: values.tolist(), **more})


def table(values, name="tensor"):
    return pa.table({name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])})


def now():
    return datetime.datetime.now(datetime.timezone.utc)
