"""Section 6.2 of the guide, second part: anomaly tests of the older kind, A/B tests, shadow deploys, the pipeline's address."""

import json
import re

import httpx
import pandas as pd
import polars as pl
from wallaroo.framework import Framework

from guide import because, cannot, client, example, kind, prints, same, until, workspace
import stock

wl = client()
workspace(wl, "guide-pipeline-tests")


def upload(name, path):
    return wl.upload_model(name, path, framework=Framework.ONNX)


aloha = "cryptolocker", "main", "suppobox"
control, challenger = (upload(f"aloha-{name}", stock.layer(f"{name}.onnx", "text_input", 100, *aloha, seed=seed)) for seed, name in enumerate(("control", "challenger")))
housing_model = upload("anomaly-housing", stock.layer("housing.onnx", "dense_16_input", 13, "dense_19"))
test_input = {"dense_16_input": [[0.02675675, 0.0, 0.02677953, 0.0, 0.0010046, 0.00951931, 0.14795322, 0.0027145, 2, 0.98536841, 0.02988655, 0.04031725, 0.04298041]]}
result_told = (
    "[].check_failures[].False.expr: text, [].elapsed: int, [].model_name: text, [].model_version: uuid, [].original_data.dense_16_input: [[float]],"
    " [].outputs[].Float.data: [float], [].outputs[].Float.dim: [int], [].outputs[].Float.v: int, [].pipeline_name: text, [].shadow_data: dict, [].time: int"
)

with example("set a validation"):
    p = wl.build_pipeline("anomaly-housing-pipeline")
    p = p.add_model_step(housing_model)
    with cannot("add-validation", "add_validation", kind=AttributeError):
        p.add_validation("price too high", housing_model.outputs[0][0] < 100.0)
    p = p.add_validations(price_too_high=pl.col("out.dense_19").list.get(0) >= 0.01)
    pipeline = p.deploy()
    response_trigger = pipeline.infer(test_input)
    prints(response_trigger, result_told, elapsed_list="[].elapsed")
    same(kind(response_trigger[0]["elapsed"]), "[int]")
    same(str(type(response_trigger[0])), "<class 'wallaroo.inference_result.InferenceResult'>", "no-inference-result", "<class 'dict'>")
    same(response_trigger[0]["outputs"][0]["Float"]["dim"], [1, 1])

with example("display anomalies"):
    response_trigger = pipeline.infer(test_input)
    same(response_trigger[0]["check_failures"], [{"False": {"expr": "anomaly-housing.outputs[0][0] < 100"}}], "check-failures-expression", [{"False": {"expr": "anomaly.price_too_high"}}])
    pipeline = wl.get_pipeline("anomaly-housing-pipeline")
    logs = until(lambda: pipeline.logs(valid=False), lambda found: len(found) == 2)
    prints(logs, "Timestamp: time, Output: [float], Input: [float], Anomalies: int", logs_of_failures=["Timestamp", "Output", "Input", "Anomalies", "time", "in.dense_16_input", "out.dense_19", "anomaly*"])
    same(logs["anomaly.price_too_high"].tolist(), [True, True])
    pipeline.undeploy()

with example("an A/B test"):
    experiment_pipeline = wl.build_pipeline("randomsplitpipeline-demo").add_random_split([(2, control), (1, challenger)])
    experiment_pipeline.deploy()
    stock.frame_file("data-1.json", [[float(i % 7) for i in range(100)]], "text_input")
    results = []
    for _ in range(5):
        results.append(experiment_pipeline.infer_from_file("data-1.json"))
    for result in results:
        with cannot("no-inference-result", "0", kind=KeyError):
            print(result[0].model())
        (split,) = json.loads(result["out._model_split"][0])
        assert (split["name"], split["version"]) in {(m.name(), m.version()) for m in (control, challenger)}, split
        same([kind(result[f"out.{name}"][0]) for name in aloha], ["[float]"] * 3)

with example("logs of an A/B test"):
    logs = experiment_pipeline.logs(limit=5)
    prints(logs.loc[:, ["time", "out._model_split", "out.main"]], "time: time, out._model_split: text, out.main: [float]")
    (split,) = json.loads(logs["out._model_split"][0])
    prints({name: kind(value) for name, value in split.items()}, "name: text, version: uuid, sha: sha")

with example("replace a step with a random split"):
    experiment_pipeline.clear().add_model_step(control)
    experiment_pipeline.replace_with_random_split(0, [(1, control), (1, challenger)], "session")
    experiment_pipeline.deploy()
    data = pd.DataFrame({"text_input": [[0.0] * 100] * 2, "session": [0.4, 0.6]})
    split = experiment_pipeline.infer(data)["out._model_split"]
    same([json.loads(text)[0]["name"] for text in split], ["aloha-control", "aloha-challenger"])
    experiment_pipeline.undeploy()

with example("a shadow deploy"):
    with cannot("upload-framework", "framework", kind=ValueError):
        wl.upload_model("ccfraud-lstm", stock.ccfraud()).configure()
    champion = wl.upload_model("ccfraud-lstm", stock.ccfraud(), framework=Framework.ONNX).configure(tensor_fields=["tensor"])
    model2, model3 = (upload(f"ccfraud{name}", stock.layer(f"{name}.onnx", "tensor", 29, "variable", seed=seed)) for seed, name in enumerate(("rf", "xgb"), 4))
    pipeline = wl.build_pipeline("cc-shadow")
    pipeline.add_shadow_deploy(champion, [model2, model3])
    pipeline.deploy()
    display = "name: text, created: time, last_updated: time, deployed: bool, tags: none, steps: text"
    prints(pipeline, display, workspace_columns=["workspace_id", "workspace_name"], arch_columns=["arch", "accel"], pipeline_display=["versions", "published"])
    same(re.search("steps</th> <td>(.*?)</td>", pipeline._repr_html_())[1], "ccfraud-lstm", "shadow-steps", "ccfraud-lstm, ccfraudrf, ccfraudxgb")

challengers = "out_ccfraudrf.variable", "out_ccfraudxgb.variable"
shadowed = "time: time, in.tensor: [float], out.dense_1: [float], check_failures: int, out_ccfraudrf.variable: [float], out_ccfraudxgb.variable: [float]"

with example("the outputs of a shadow deploy"):
    sample_data_file = stock.frame_file("smoke_test.df.json", stock.payments(1))
    response = pipeline.infer_from_file(sample_data_file)
    prints(response, shadowed, check_failures=["check_failures", "anomaly.count"], challenger_outputs=list(challengers))
    asked = pipeline.infer_from_file(sample_data_file, dataset=["*", "out_"])
    prints(asked, shadowed, check_failures=["check_failures", "anomaly.count"])

with example("logs of a shadow deploy"):
    logs = until(pipeline.logs, lambda found: set(challengers) <= set(found) and found[list(challengers)].notna().all(axis=None))
    because("challengers-later")
    prints(logs, shadowed, check_failures=["check_failures", "anomaly.count"])

with example("replace a step with a shadow deploy"):
    pipeline.clear().add_model_step(champion)
    pipeline.replace_with_shadow_deploy(0, champion, [model2]).deploy()
    assert "out_ccfraudrf.variable" in pipeline.infer_from_file(sample_data_file, dataset=["out_"])

with example("the address of a pipeline"):
    deployed = wl.get_pipeline("cc-shadow")
    url = deployed._deployment_for_pipeline()._url()
    same(re.sub(r"http://[^/]+|-\d+", "", url), ":29502/pipelines/cc-shadow", "pipeline-url", "/v1/api/pipelines/infer/cc-shadow/cc-shadow")
    answer = httpx.post(pipeline._deployment._url(), headers=wl.auth.auth_header(), json=pd.read_json(sample_data_file).to_dict("records"))
    same(answer.status_code, 200)
    pipeline.undeploy()

example.finish()
