"""Validations, splits and shadow deploys with the published client, as first, later and replacement step; compared with onnxruntime and polars."""

import asyncio
import collections
import json
import os
import pathlib
import tempfile
import time
import warnings

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import wallaroo
from wallaroo.framework import Framework

import models
from support import TOLERANCE, Steps, client, column, raises, same, show

step = Steps()
folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))
files = {name: models.dense(folder, name, seed) for name, seed in (("champion", 1), ("second", 2), ("third", 3))}
other = models.image(folder, "image")
rng = np.random.default_rng(7)


def rows(count: int) -> np.ndarray:
    return rng.normal(size=(count, models.FEATURES)).round(4).astype(np.float32)


def frame(values: np.ndarray, **more) -> pd.DataFrame:
    return pd.DataFrame({"dense_input": values.tolist(), **more})


def expected(name: str, values: np.ndarray) -> np.ndarray:
    return files[name].run({"dense_input": values})["dense_1"]


def chosen(result) -> list:
    """The model of each row, as the guide's column tells it."""
    entries = [json.loads(text) for text in result["out._model_split"]]
    assert all(set(entry[0]) == {"name", "version", "sha"} for entry in entries), entries[0]
    return [entry[0]["name"] for entry in entries]


def logged(line, count: int, **options) -> pd.DataFrame:
    for _ in range(100):
        log = line.logs(limit=10_000, **options)
        if len(log) >= count:
            return log
        time.sleep(0.1)
    raise AssertionError(f"{len(log)} rows in the log instead of {count}")


def fresh(name: str):
    return wl.build_pipeline(name)


wl = client()
wl.set_current_workspace(wl.create_workspace("experiments"))
one, two, three = (wl.upload_model(name, files[name].path, framework=Framework.ONNX) for name in ("champion", "second", "third"))
picture = wl.upload_model("image", other.path, framework=Framework.ONNX)
names = {m.version(): m.name() for m in (one, two, three)}

with step("validations: the guide's fraud example, several of them, and count ignored with a warning"):
    line = fresh("fraud").add_model_step(one)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        line.add_validations(
            fraud=pl.col("out.dense_1").list.get(0) > 0.6,
            too_low=pl.col("out.dense_1").list.get(0) < 0.2,
            in_between=(pl.col("out.dense_1").list.get(0) < 0.6) & (pl.col("in.dense_input").list.get(3) > 0),
            count=pl.col("out.dense_1").list.get(0) > 0,
        )
    assert any("count" in str(w.message) for w in said)
    line.deploy()
    values = rows(60)
    wanted = expected("champion", values)[:, 0]
    fraud, low, between = wanted > 0.6, wanted < 0.2, (wanted < 0.6) & (values[:, 3] > 0)
    for data in (frame(values), pa.table({"dense_input": pa.array(values.tolist(), pa.list_(pa.float32()))})):
        result = line.infer(data)
        got = list(result.columns if isinstance(result, pd.DataFrame) else result.column_names)
        assert set(got) == {"time", "in.dense_input", "out.dense_1", "anomaly.count", "anomaly.fraud", "anomaly.too_low", "anomaly.in_between"}, got
        same(column(result, "anomaly.fraud"), fraud, "fraud")
        same(column(result, "anomaly.too_low"), low, "too_low")
        same(column(result, "anomaly.in_between"), between, "in_between")
        same(column(result, "anomaly.count"), fraud.astype(int) + low + between, "count")
    assert 0 < fraud.sum() < 60
    log = logged(line, 120)
    assert sorted(log["anomaly.count"]) == sorted([*(fraud.astype(int) + low + between)] * 2)
    assert log["anomaly.fraud"].sum() == 2 * fraud.sum()
    edge = httpx.post(line.url(), headers=wl.auth.auth_header(), json=frame(values[fraud][:1]).to_dict("records"), timeout=10).json()
    assert {"False": {"expr": "anomaly.fraud"}} in edge[0]["check_failures"], edge[0]["check_failures"]

with step("the client reads validations back as it wrote them"):
    again = wl.get_pipeline("fraud")
    show(again)
    configuration = again.get_pipeline_configuration()["definition"]["steps"]
    assert [next(iter(s)) for s in configuration] == ["ModelInference", "Check"], configuration
    assert configuration == [s.to_json() for s in line.builder().steps]

with step("a validation over a column of the request is that of the request, whoever runs beside it"):
    line = fresh("fraud-mean").add_model_step(one).add_validations(above=pl.col("out.dense_1").list.get(0) > pl.col("out.dense_1").list.get(0).mean())
    line.deploy()
    for count in (1, 2, 9):
        values = rows(count)
        wanted = expected("champion", values)[:, 0]
        same(column(line.infer(frame(values)), "anomaly.above"), wanted > wanted.mean(), f"mean of {count}")
    line.undeploy()

with step("validations that do not fit are refused, naming the part"):
    with raises("out.nothing"):
        fresh("bad-column").add_model_step(one).add_validations(v=pl.col("out.nothing") > 1).deploy()
    with raises("in.nobody"):
        fresh("bad-key").add_random_split([(1, one), (1, two)], "customer").add_validations(v=pl.col("in.nobody") == "x").deploy()
    with raises("BinaryExpr.right", "list of float32"):
        fresh("bad-text").add_model_step(one).add_validations(v=(pl.col("in.dense_input").list.get(0) > 0) & pl.col("out.dense_1").str.contains("a")).deploy()
    with raises("v", "true or false"):
        fresh("bad-type").add_model_step(one).add_validations(v=pl.col("out.dense_1").list.get(0) + 1).deploy()
    wl.get_pipeline("fraud").undeploy()

with step("a random split: each request goes to one model, as often as the weights say"):
    line = fresh("split").add_random_split([(2, one), (1, two)])
    line.deploy()
    values = rows(1)
    seen = collections.Counter()
    for _ in range(120):
        result = line.infer(frame(values))
        (name,) = chosen(result)
        same(column(result, "out.dense_1"), expected(name, values), name)
        seen[name] += 1
    assert set(seen) == {"champion", "second"} and 50 < seen["champion"] < 108, seen
    values = rows(8)
    result = line.infer(frame(values))
    assert len(set(chosen(result))) == 1, "the rows of one request go to one model"
    log = logged(line, 128)
    assert collections.Counter(chosen(log))["champion"] >= seen["champion"]
    log = line.logs(limit=50, dataset=["time", "out", "metadata"])
    assert [json.loads(m)["model_name"] for m in log["metadata.last_model"]] == chosen(log)

with step("a hash key decides row by row, the same each time; numbers are taken as they are"):
    line.replace_with_random_split(0, [(1, one), (1, two), (2, three)], "customer").deploy(deployment_config=wallaroo.DeploymentConfigBuilder().replica_count(2).cpus(0.5).memory("512Mi").build())
    values = rows(200)
    keys = [f"customer-{i % 50}" for i in range(200)]
    result = line.infer(frame(values, customer=keys))
    picked = chosen(result)
    assert set(picked) == {"champion", "second", "third"}
    for i, name in enumerate(picked):
        assert name == picked[i % 50], "one key, one model"
        np.testing.assert_allclose(result["out.dense_1"][i], expected(name, values[i : i + 1])[0], rtol=TOLERANCE)
    assert list(result["in.customer"]) == keys
    assert chosen(line.infer(frame(values[:4], customer=[0.1, 0.3, 0.6, 1.0]))) == ["champion", "second", "third", "third"]
    with raises("customer"):
        line.infer(frame(values))
    for _ in range(4):
        together = asyncio.run(line.parallel_infer(tensor=frame(values, customer=keys), timeout=20, num_parallel=8, batch_size=5))
        assert chosen(together) == picked, "all replicas assign alike"
    # The key is a new column: the log before is a table of its own.
    log = logged(line, 204 + 4 * 200, dataset=["time", "in.customer", "out", "metadata"])
    assert len(set(log["metadata.partition"])) == 2, "both replicas answered"
    by_key = collections.defaultdict(set)
    for key, name in zip(log["in.customer"], chosen(log)):
        by_key[key].add(name)
    assert all(len(found) == 1 for found in by_key.values())
    line.undeploy()
    line.deploy()
    assert chosen(line.infer(frame(values, customer=keys))) == picked, "a new engine assigns as the old one did"
    line.undeploy()

with step("a key split: known values have their models, all else goes to control"):
    line = fresh("key-split").add_key_split(one, "tier", {"gold": two, "silver": three})
    line.deploy()
    values = rows(5)
    result = line.infer(frame(values, tier=["gold", "lead", None, "silver", "gold"]))
    assert chosen(result) == ["second", "champion", "champion", "third", "second"]
    for i, name in enumerate(chosen(result)):
        np.testing.assert_allclose(result["out.dense_1"][i], expected(name, values[i : i + 1])[0], rtol=TOLERANCE)
    assert set(chosen(line.infer(frame(values)))) == {"champion"}
    table = pa.table({"dense_input": pa.array(values.tolist(), pa.list_(pa.float32())), "tier": ["gold"] * 5})
    assert set(chosen(line.infer(table).to_pandas())) == {"second"}
    logged(line, 15)
    line.undeploy()

with step("a shadow deploy answers as its champion alone; challengers are in the log"):
    line = fresh("shadow").add_shadow_deploy(one, [two, three])
    line.deploy()
    values = rows(30)
    result = line.infer(frame(values))
    assert list(result.columns) == ["time", "in.dense_input", "out.dense_1", "anomaly.count"], list(result.columns)
    same(column(result, "out.dense_1"), expected("champion", values), "champion")
    result = line.infer(frame(values), dataset=["time", "out", "out_second", "out_third.dense_1"])
    for name, of in (("out.dense_1", "champion"), ("out_second.dense_1", "second"), ("out_third.dense_1", "third")):
        same(column(result, name), expected(of, values), name)
    for _ in range(100):
        log = logged(line, 60)
        if "out_second.dense_1" in log and log["out_third.dense_1"].notna().all():
            break
        time.sleep(0.1)
    inputs = column(log, "in.dense_input").astype(np.float32)
    for name, of in (("out.dense_1", "champion"), ("out_second.dense_1", "second"), ("out_third.dense_1", "third")):
        same(column(log, name), expected(of, inputs), name)
    log = line.logs(dataset=["time", "out_second.dense_1", "metadata"], limit=5)
    assert "out_second.dense_1" in log and "out_third.dense_1" not in log
    arrow = line.logs(limit=60, arrow=True)
    same(column(arrow, "out_third.dense_1"), expected("third", column(arrow, "in.dense_input").astype(np.float32)), "Arrow")

with step("the client reads experiments back as it wrote them"):
    for name in ("split", "key-split", "shadow"):
        show(wl.get_pipeline(name))
    assert [next(iter(s)) for s in wl.get_pipeline("shadow").get_pipeline_configuration()["definition"]["steps"]] == ["ModelInference", "AuditResults", "MultiOut"]
    show(wl.list_pipelines())

with step("steps are replaced while the pipeline runs: shadow by split, by key split, by model, by shadow"):
    values = rows(6)
    for _ in range(3):
        line.remove_step(0)
    line.add_random_split([(1, two)]).deploy()
    same(column(line.infer(frame(values)), "out.dense_1"), expected("second", values), "split of one")
    line.replace_with_key_split(0, three, "tier", {"gold": one}).deploy()
    same(column(line.infer(frame(values, tier=["gold"] * 6)), "out.dense_1"), expected("champion", values), "key split")
    line.replace_with_model_step(0, one).deploy()
    same(column(line.infer(frame(values)), "out.dense_1"), expected("champion", values), "model")
    line.replace_with_shadow_deploy(0, two, [one]).add_validations(sure=pl.col("out.dense_1").list.get(0) > 0.5).deploy()
    result = line.infer(frame(values))
    same(column(result, "out.dense_1"), expected("second", values), "shadow")
    same(column(result, "anomaly.sure"), expected("second", values)[:, 0] > 0.5, "validated")
    line.undeploy()

with step("models that do not go together are refused, naming both"):
    with raises("champion", "image"):
        fresh("bad-split").add_random_split([(1, one), (1, picture)]).deploy()
    with raises("champion", "image"):
        fresh("bad-shadow").add_shadow_deploy(one, [picture]).deploy()
    with raises("add_shadow_deploy"):
        fresh("bad-multi").add_multi_model_step([one, two]).deploy()

step.finish()
