"""Section 10 of the guide: inference from variables, from files, in parallel."""

import asyncio
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import wallaroo
from wallaroo.framework import Framework

from guide import because, cannot, client, example, kind, prints, same, shape, workspace
import stock

wl = client()
workspace(wl, "guide-inference")
four = wallaroo.DeploymentConfigBuilder().replica_count(4).cpus(0.25).memory("512Mi").build()
values = stock.payments(996) + stock.payments(4, fraud=True)
ccfraud_input_1k_arrow_table = stock.arrow_table(values)
stock.arrow_file("cc_data_10k.arrow", stock.arrow_table(values * 10))
stock.frame_file("cc_data_10k.df.json", values * 10)
stock.frame_file("smoke_test.df.json", values[:1])
ccfraud_model = wl.upload_model("ccfraud", stock.ccfraud(), framework=Framework.ONNX).configure(tensor_fields=["tensor"])
ccfraud_pipeline = wl.build_pipeline("ccfraud-pipeline").add_model_step(ccfraud_model)
ccfraud_pipeline.deploy()
inferred = "time: time, in.tensor: [float], out.dense_1: [float], anomaly.count: int"


def arrow_told(**more):
    """The schema of the guide's Arrow answers."""
    lists = {"in.tensor": "list<item: float> not null", "out.dense_1": "list<inner: float not null> not null"}
    return {"time": "timestamp[ms]", **lists, "anomaly.count": "int8", **more}


with example("the forms of metadata.elapsed"):
    result_arrow = ccfraud_pipeline.infer_from_file("./cc_data_10k.arrow", dataset="metadata")
    same([type(result_arrow["metadata.elapsed"][0][i]).__name__ for i in (0, 1)], ["UInt64Scalar"] * 2)
    parse_elapsed = result_arrow["metadata.elapsed"][0][0].as_py()
    assert isinstance(parse_elapsed, int) and parse_elapsed > 0
    result_dataframe = ccfraud_pipeline.infer_from_file("./cc_data_10k.df.json", dataset=["*", "metadata"])
    same([kind(result_dataframe["metadata.elapsed"][0][i]) for i in (0, 1)], ["int", "int"])
    described = inferred + ", metadata.elapsed: [int], metadata.last_model: text, metadata.partition: text, metadata.pipeline_version: uuid"
    prints(result_dataframe, described, request_id="metadata.request_id", dropped_columns="metadata.dropped")

with example("infer with an Arrow table"):
    result = ccfraud_pipeline.infer(ccfraud_input_1k_arrow_table)
    prints(result, arrow_told(), arrow_nullability=["in.tensor", "out.dense_1"])
    same(result.num_rows, 1000)
    outputs = result.to_pandas()
    filter = [elt[0] > 0.75 for elt in outputs["out.dense_1"]]
    outputs = outputs.loc[filter]
    prints(outputs, inferred)
    assert {996, 997, 998, 999} <= set(outputs.index) and len(outputs) < 1000
    outputs = pl.from_arrow(result)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # polars would rather not be asked to apply
        found = outputs.filter(pl.col("out.dense_1").apply(lambda x: x[0]) > 0.75)
    same(len(found), sum(filter))
    same([str(t) for t in found.dtypes], ["Datetime(time_unit='ms', time_zone=None)", "List(Float32)", "List(Float32)", "Int8"])

with example("metadata of model steps, and of tests"):
    result = ccfraud_pipeline.infer(pd.DataFrame({"tensor": values[:1]}), dataset=["*", "metadata.elapsed"])
    prints(result, inferred + ", metadata.elapsed: [int]")
    same(list(ccfraud_pipeline.infer(pd.DataFrame({"tensor": values[:1]}), dataset=["metadata.elapsed"]).columns), ["metadata.elapsed"])
    tested = wl.build_pipeline("ccfraud-split").add_random_split([(1, ccfraud_model), (1, ccfraud_model)])
    tested.deploy()
    same(list(tested.infer(pd.DataFrame({"tensor": values[:1]}), dataset=["metadata.elapsed"]).columns), ["metadata.elapsed"])
    assert "metadata.elapsed" in tested.infer(pd.DataFrame({"tensor": values[:1]}), dataset=["*", "metadata.elapsed"])
    because("metadata-freely")
    tested.undeploy()

with example("choose columns, and what stands between the parts of their names"):
    frame = pd.DataFrame({"tensor": values[:2]})
    same(list(ccfraud_pipeline.infer(frame, dataset=["time", "out"]).columns), ["time", "out.dense_1"])
    same(list(ccfraud_pipeline.infer(frame, dataset_exclude=["in"]).columns), ["time", "out.dense_1", "anomaly.count"])
    same(list(ccfraud_pipeline.infer(frame, dataset_separator="/").columns), ["time", "in/tensor", "out/dense_1", "anomaly/count"])
    assert len(ccfraud_pipeline.infer(frame, timeout=30)) == 2

with example("numpy arrays as inputs"):
    pipeline = wl.build_pipeline("numbers").add_model_step(wl.upload_model("yolo", stock.labels(), framework=Framework.ONNX))
    pipeline.deploy()
    npArray = np.arange(31 * 2, dtype=np.float32)
    dataframedata = pd.DataFrame({"tensor": [npArray]})
    infResults = pipeline.infer(dataframedata, dataset=["*", "metadata.elapsed"])
    same(infResults.loc[0]["out.2519"], [44] * 31)
    pipeline.undeploy()

with example("infer from an Arrow file"):
    imdb_pipeline = wl.build_pipeline("imdb-pipeline").add_model_step(wl.upload_model("imdb", stock.layer("imdb.onnx", "tensor", 100, "dense_1"), framework=Framework.ONNX))
    imdb_pipeline.deploy()
    words = np.random.default_rng(3).integers(0, 10_000, (50_000, 100)).astype(np.float32)
    stock.arrow_file("test_data_50K.arrow", pa.table({"tensor": pa.ListArray.from_arrays(np.arange(0, words.size + 1, 100, dtype=np.int32), words.ravel())}))
    results = imdb_pipeline.infer_from_file("./test_data_50K.arrow")
    outputs = pl.from_arrow(results)
    same(len(outputs), 50_000)
    shown = outputs.head(5)
    same((shown.shape, shown.columns), ((5, 4), ["time", "in.tensor", "out.dense_1", "anomaly.count"]))
    same([str(t) for t in shown.dtypes], ["Datetime(time_unit='ms', time_zone=None)", "List(Float32)", "List(Float32)", "Int8"])
    imdb_pipeline.undeploy()

with example("infer from a file of records"):
    result = ccfraud_pipeline.infer_from_file("./smoke_test.df.json")
    prints(result, inferred)
    same(len(result), 1)

with example("infer in parallel"):
    ccfraud_pipeline.deploy(deployment_config=four)
    test_data = pd.DataFrame({"tensor": values})
    dataset = []
    for index, row in test_data.head(200).iterrows():
        dataset.append(row.to_frame("tensor").reset_index(drop=True))
    with cannot("parallel-lists", "DataFrame or a pyarrow Table", kind=ValueError):
        asyncio.run(ccfraud_pipeline.parallel_infer(dataset, timeout=10, num_parallel=8, retries=1))
    with cannot("parallel-lists", "tensor_list", kind=TypeError):
        asyncio.run(ccfraud_pipeline.parallel_infer(tensor_list=dataset, timeout=10, num_parallel=8, retries=1))
    with cannot("await-in-scripts", "await", kind=SyntaxError):
        compile("results = await pipeline.parallel_infer(dataset)", "guide", "exec")
    parallel_results = asyncio.run(ccfraud_pipeline.parallel_infer(pd.concat(dataset, ignore_index=True), timeout=10, num_parallel=8, retries=1))
    prints(parallel_results, inferred)
    same([[float(f"{v:.4f}") for v in row] for row in parallel_results["in.tensor"]], values[:200])
    table = asyncio.run(ccfraud_pipeline.parallel_infer(stock.arrow_table(values[:200]), timeout=10, num_parallel=8, batch_size=50))
    prints(table, arrow_told(), arrow_nullability=["in.tensor", "out.dense_1"])

with example("errors of parallel inference"):
    mixed = pd.DataFrame({"tensor": [values[0], values[1][:3], values[2]]})
    some = asyncio.run(ccfraud_pipeline.parallel_infer(mixed, timeout=10, num_parallel=8, retries=1))
    same(list(some["error"].str.len() > 0), [False, True, False])
    assert "tensor" in some["error"][1] and [v is not None and len(v) == 1 for v in some["out.dense_1"]][::2] == [True, True], some
    because("parallel-lists")
    ccfraud_pipeline.undeploy()

example.finish()
