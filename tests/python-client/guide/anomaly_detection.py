"""Section 6.1 of the guide: anomalies in inputs and outputs."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import wallaroo
from wallaroo.framework import Framework

from guide import cannot, client, example, prints, same, workspace
import stock

wl = client()
workspace(wl, "guide-anomalies")
ccfraud_model = wl.upload_model("ccfraud", stock.ccfraud(), framework=Framework.ONNX).configure(tensor_fields=["tensor"])
sales_model = wl.upload_model("sales", stock.sales(), framework=Framework.ONNX)
high, low = stock.payments(1, fraud=True), stock.payments(1, low=True)
stock.frame_file("dev_high_fraud.json", high)
stock.frame_file("high_fraud_example.json", high)
stock.frame_file("low_fraud_example.json", low)
stock.frame_file("cc_data_1k.df.json", stock.payments(1001))
seen = "time: time, in.tensor: [float], out.dense_1: [float], anomaly.count: int"
sold = "time: time, out.predicted_sales: [int], anomaly.count: int"
inputs = ["in.sales_count", "in.site_id", "in.week"]


def week(number, sales) -> pd.DataFrame:
    return pd.DataFrame({"week": [[number]], "site_id": [["site0001"]], "sales_count": [sales]})


def anomalies(result) -> dict:
    return {name.removeprefix("anomaly."): result[name][0] for name in result.columns if name.startswith("anomaly.")}


with example("select the data to look at"):
    pipeline = wl.build_pipeline("anomaly-selection").add_model_step(ccfraud_model)
    with cannot("typing-slips", kind=SyntaxError):
        compile("pipeline.add_validations(fraud = fraud = expression)", "guide", "exec")
    pipeline.add_validations(fraud=pl.col("out.dense_1").list.get(0) > 0.9)
    with cannot("list-functions", "serialize", kind=ValueError):
        pipeline.add_validations(largest=pl.col("in.price_ranges").list.max() > 1)
    with cannot("mean-of-lists", "a number is needed here, not list of float32"):
        wl.build_pipeline("anomaly-mean").add_model_step(ccfraud_model).add_validations(usual=pl.col("out.dense_1").mean() > 0.5).deploy()
    pipeline.add_validations(usual=pl.col("out.dense_1").list.get(0).mean() > 0.5)
    pipeline.deploy()
    result = pipeline.infer(pd.DataFrame({"tensor": high}))
    prints(result[["time", "in.tensor", "out.dense_1", "anomaly.count", "anomaly.fraud"]], seen + ", anomaly.fraud: bool")
    same(anomalies(result), {"count": 2, "fraud": True, "usual": True})
    pipeline.undeploy()

with example("validations that are named count are left out with a warning"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counted = wl.build_pipeline("anomaly-count").add_model_step(ccfraud_model).add_validations(count=pl.col("out.dense_1").list.get(0) > 0.9, fraud=pl.col("out.dense_1").list.get(0) > 0.9)
    same([str(w.message) for w in caught if w.category is UserWarning], ["count is not allowed."], "count-warning", ["'count' is not a valid name for a validation"])
    same(counted.definition().count('"Alias"'), 1)

with example("anomalies in inputs"):
    pipeline = wl.build_pipeline("anomaly-sales").add_model_step(sales_model)
    with cannot("list-functions", "serialize", kind=ValueError):
        pipeline.add_validations(minimum_sales=pl.col("in.sales_count").list.min() < 500)
    minimum_sales = pl.any_horizontal([pl.col("in.sales_count").list.get(day) < 500 for day in range(7)])
    pipeline.add_validations(minimum_sales=minimum_sales)
    pipeline.deploy()
    week(28, [1357, 1247, 350, 1437, 952, 757, 1831]).to_json("previous_week_sales.json", orient="records")
    result = pipeline.infer_from_file("previous_week_sales.json")
    prints(result, sold + ", anomaly.minimum_sales: bool", inputs_left_out=inputs)
    same(anomalies(result), {"count": 1, "minimum_sales": True})

with example("anomalies in outputs"):
    with cannot("typing-slips", "build_pipeline", kind=AttributeError):
        wallaroo.client.build_pipeline("sample-pipeline")
    sample_pipeline = wl.build_pipeline("sample-pipeline")
    sample_pipeline.add_model_step(ccfraud_model)
    sample_pipeline.add_validations(fraud=pl.col("out.dense_1").list.get(0) > 0.9)
    sample_pipeline.deploy()
    result = sample_pipeline.infer_from_file("dev_high_fraud.json")
    prints(result, seen + ", anomaly.fraud: bool")
    same(anomalies(result), {"count": 1, "fraud": True})

with example("several validations"):
    sample_pipeline.clear().add_model_step(ccfraud_model)
    sample_pipeline.add_validations(
        fraud=pl.col("out.dense_1").list.get(0) > 0.9,
        too_low=pl.col("out.dense_1").list.get(0) < 0.05,
    )
    sample_pipeline.deploy()
    for file, expected in (("high_fraud_example.json", {"count": 1, "fraud": True, "too_low": False}), ("low_fraud_example.json", {"count": 1, "fraud": False, "too_low": True})):
        result = sample_pipeline.infer_from_file(file)
        prints(result, seen + ", anomaly.fraud: bool, anomaly.too_low: bool")
        same(anomalies(result), expected)

with example("several validations, of inputs and outputs"):
    pipeline.add_validations(average_sales_too_low=pl.col("out.predicted_sales").list.get(0) < 500)
    pipeline.deploy()
    for number, sales, expected in (
        (28, [1357, 1247, 350, 1437, 952, 757, 1831], {"average_sales_too_low": False, "count": 1, "minimum_sales": True}),
        (29, [497, 617, 350, 200, 150, 400, 110], {"average_sales_too_low": True, "count": 2, "minimum_sales": True}),
        (30, [617, 525, 513, 517, 622, 757, 508], {"average_sales_too_low": True, "count": 1, "minimum_sales": False}),
    ):
        result = pipeline.infer(week(number, sales))
        columns = sold + ", anomaly.minimum_sales: bool, anomaly.average_sales_too_low: bool"
        prints(result, columns, order="column-order", inputs_left_out=inputs)
        same(anomalies(result), expected)
    pipeline.undeploy()

with example("compound validations"):
    sample_pipeline = sample_pipeline.add_validations(
        in_between_2=(pl.col("out.dense_1").list.get(0) < 0.9) & (pl.col("out.dense_1").list.get(0) > 0.001)
    )
    with cannot("deploy-to-change", "anomaly.in_between_2", kind=KeyError):
        sample_pipeline.infer_from_file("cc_data_1k.df.json")["anomaly.in_between_2"]
    sample_pipeline.deploy()
    results = sample_pipeline.infer_from_file("cc_data_1k.df.json")
    prints(
        results.loc[results["anomaly.in_between_2"] == True],  # noqa: E712 - as the guide writes it
        "time: time, in.tensor: [float], out.dense_1: [float], anomaly.count: int, anomaly.fraud: bool, anomaly.in_between_2: bool, anomaly.too_low: bool",
    )
    value = np.array([v[0] for v in results["out.dense_1"]])
    same(results["anomaly.in_between_2"].tolist(), ((value < 0.9) & (value > 0.001)).tolist())
    sample_pipeline.undeploy()

example.finish()
