"""Section 6.4 of the guide: reading and exporting logs."""

import datetime
import os

import numpy as np
import pandas as pd
import pyarrow as pa
from dateutil.tz import tzutc
from wallaroo.framework import Framework

from guide import because, cannot, client, example, json, kind, prints, raises, same, shape, until, workspace, written
import stock

wl = client()
workspace(wl, "guide-logs")
logcontrol, challenger01, challenger02 = (
    wl.upload_model(name, stock.house_price(f"{name}.onnx", noise), framework=Framework.ONNX)
    for noise, name in enumerate(("logcontrol", "logcontrolchallenger01", "logcontrolchallenger02"))
)
date_start = datetime.datetime.now(tz=tzutc())
mainpipeline = wl.build_pipeline("logpipeline").add_model_step(logcontrol)
mainpipeline.deploy()
normal_input = pd.DataFrame({"tensor": stock.houses(538).tolist()})
mainpipeline.infer(normal_input)
date_end = datetime.datetime.now(tz=tzutc()) + datetime.timedelta(seconds=1)
logged = "time: time, in.tensor: [float], out.variable: [float], anomaly.count: int"
limited = "Warning: There are more logs available. Please set a larger limit or request a file using export_logs."


def last_model(logs) -> list:
    """The keys and kinds of `metadata.last_model`, which is JSON."""
    return shape(json.loads(logs["metadata.last_model"].iloc[0]))


with example("logs between two times"):
    logs = mainpipeline.logs(start_datetime=date_start, end_datetime=date_end)
    same(len(logs), 538)
    prints(logs, logged)
    same([list(v) for v in logs["in.tensor"].iloc[[0, -1]]], [normal_input["tensor"][i] for i in (0, 537)])
    for alone in ({"start_datetime": date_start}, {"end_datetime": date_end}):
        with raises("both start datetime and end datetime"):
            mainpipeline.logs(**alone)

with example("logs without parameters, limited, as Arrow"):
    with written() as told:
        logs = mainpipeline.logs()
    same(len(logs), 100)
    same(told.getvalue(), "Pipeline log record limit exceeded", "limit-warning", limited)
    same(list(logs["in.tensor"].iloc[0]), normal_input["tensor"][537])
    same(len(mainpipeline.logs(limit=5)), 5)
    assert isinstance(mainpipeline.logs(arrow=True), pa.Table)

with example("datasets of a log"):
    prints(mainpipeline.logs(dataset=["*"]), logged)
    prints(mainpipeline.logs(dataset_separator="."), logged)
    prints(mainpipeline.logs(dataset=["time", "out.variable"]), "time: time, out.variable: [float]")
    prints(mainpipeline.logs(dataset_exclude=["in", "anomaly"]), "time: time, out.variable: [float]")
    prints(mainpipeline.logs(dataset=["out"]), "out.variable: [float]", time_in_logs="time")
    prints(mainpipeline.logs(dataset=["time", "meta"]), "time: time, metadata.elapsed: [int], metadata.last_model: text, metadata.partition: text, metadata.pipeline_version: uuid", meta_left_out="metadata*")

with example("metadata of a pipeline of model steps"):
    metadatalogs = mainpipeline.logs(dataset=["out", "metadata"])
    shown = metadatalogs.loc[:, ["out.variable", "metadata.last_model"]]
    same([kind(v) for v in shown.iloc[0]], ["[float]", "text"])
    prints(last_model(metadatalogs), "model_name: text, model_sha: sha")
    described = "out.variable: [float], metadata.elapsed: [int], metadata.last_model: text, metadata.partition: text, metadata.pipeline_version: uuid"
    prints(metadatalogs, described, order="column-order", time_in_logs="time", request_id="metadata.request_id", dropped_columns="metadata.dropped")
    same(metadatalogs["metadata.pipeline_version"].iloc[0], mainpipeline.versions()[0].name())

with example("metadata of a shadow deploy"):
    mainpipeline.clear().add_shadow_deploy(logcontrol, [challenger01, challenger02]).deploy()
    mainpipeline.infer(normal_input[:5])
    names = ["out_logcontrolchallenger01.variable", "out_logcontrolchallenger02.variable"]
    until(lambda: mainpipeline.logs(limit=5), lambda found: set(names) <= set(found) and found[names].notna().all(axis=None))
    because("challengers-later")
    metadatalogs = mainpipeline.logs(dataset=["out_logcontrolchallenger01.variable", "out_logcontrolchallenger02.variable", "metadata"])
    shown = metadatalogs.loc[:, [*names, "metadata.elapsed"]]
    same([kind(v) for v in shown.iloc[0]], ["[float]", "[float]", "[int]"])
    same(len(shown["metadata.elapsed"].iloc[0]), 2)

with example("metadata of an A/B test"):
    mainpipeline.clear().add_random_split([(1, logcontrol), (1, challenger01)]).deploy()
    mainpipeline.infer(normal_input[:5])
    metadatalogs = mainpipeline.logs(dataset=["time", "out", "metadata"])
    shown = metadatalogs.loc[:, ["out.variable", "metadata.last_model"]]
    same([kind(v) for v in shown.iloc[0]], ["[float]", "text"])
    prints(last_model(metadatalogs), "model_name: text, model_sha: sha")
    assert {"in.tensor", "metadata.elapsed"} <= set(mainpipeline.logs(dataset=["*", "metadata"])), "the guide says that these do not go together"
    because("metadata-freely")

with example("export logs of several versions"):
    mainpipeline.export_logs(directory="versions", limit=1_000)
    same(sorted(os.listdir("versions")), ["logpipeline-1.json", "logpipeline-2.json", "logpipeline-3.json"])
    mainpipeline.undeploy()

with example("export logs to files"):
    mainpipeline = wl.build_pipeline("pipeline-logs").add_model_step(logcontrol)
    mainpipeline.deploy()
    date_start = datetime.datetime.now(tz=tzutc())
    mainpipeline.infer(normal_input)
    date_end = datetime.datetime.now(tz=tzutc()) + datetime.timedelta(seconds=1)
    until(lambda: mainpipeline.logs(limit=1_000), lambda found: len(found) == 538)
    with written() as told:
        mainpipeline.export_logs()
    same(told.getvalue().strip(), "Warning: There are more logs available. Please set a larger limit to export more data.")
    same(os.listdir("./logs"), ["pipeline-logs-1.json"])
    mainpipeline.export_logs(arrow=True)
    same(sorted(os.listdir("./logs")), ["pipeline-logs-1.arrow", "pipeline-logs-1.json"])
    exported = pd.read_json("./logs/pipeline-logs-1.json", lines=True)
    prints(exported, "time: int, in.tensor: [float], out.variable: [float], anomaly.count: int")
    same(len(exported), 100)

with example("export logs with parameters"):
    mainpipeline.export_logs(directory="elsewhere", file_prefix="log", data_size_limit="100 MiB", start_datetime=date_start, end_datetime=date_end, dataset=["time", "out"], arrow=True)
    same(os.listdir("elsewhere"), ["log-1.arrow"])
    same(pa.ipc.open_file("elsewhere/log-1.arrow").read_all().num_rows, 538)
    with cannot("export-filename", "filename", kind=TypeError):
        mainpipeline.export_logs(filename="log.json")

with example("columns that were dropped"):
    metadatalogs = mainpipeline.logs(dataset=["time", "metadata"])
    same([list(v) for v in metadatalogs["metadata.dropped"]], [[]] * len(metadatalogs))
    mainpipeline.undeploy()
    large = wl.build_pipeline("large").add_model_step(wl.upload_model("mobilenet", stock.pixels(), framework=Framework.ONNX))
    large.deploy()
    pixels = np.zeros((14, 3 * 480 * 640), np.float32)
    large.infer(pa.table({"data": pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), pixels.shape[1])}), dataset=["time", "out"])
    until(large.logs, len)
    with written() as told:
        logs = large.logs()
    warned = "The inference log is above the allowable limit and the following columns may have been suppressed for various rows in the logs: ['in.data']."
    assert warned in told.getvalue() and 'include dataset=["metadata"]' in told.getvalue(), told.getvalue()
    assert logs["in.data"].isna().all() and logs["out.brightness"].notna().all()
    same([list(v) for v in large.logs(dataset=["time", "metadata"])["metadata.dropped"]], [["in.data"]] * 14)

with example("values that are null"):
    nothing = pa.table({"data": pa.array([None], pa.list_(pa.float32()))})
    with cannot("null-is-refused", "null"):
        large.infer(nothing)
    large.undeploy()

example.finish()
