"""Sections 4, 4.2, 4.5 and, of 6.2, pre- and postprocessing: Python steps, and a custom model that reshapes data.

The scripts that are uploaded do what the guide's do, in the same forms: text or a DataFrame in, a list or a dictionary out."""

import pathlib
import re
import time
import zipfile

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import wallaroo
from wallaroo.deployment_config import DeploymentConfigBuilder
from wallaroo.framework import Framework

from guide import because, cannot, client, example, kind, prints, same, workspace, written
import stock

wl = client(interactive=True)
workspace(wl, "guide-python")
reshaper = pathlib.Path(__file__).resolve().parents[2] / "frameworks" / "guide_reshaper.py"


def write(name, text) -> str:
    pathlib.Path(name).write_text(text)
    return f"./{name}"


def upload(name, path, framework, inputs=None, outputs=None, **more):
    """Without waiting: the client looks only every five seconds."""
    schemas = {} if inputs is None else {"input_schema": pa.schema(inputs), "output_schema": pa.schema(outputs)}
    return wl.upload_model(name, path, framework=framework, convert_wait=False, **schemas, **more)


def ready(*models):
    until = time.monotonic() + 240
    for model in models:
        while model.status() not in ("ready", "error") and time.monotonic() < until:
            time.sleep(0.2)
        assert model.status() == "ready", (model.name(), model.status(), model.error_summary(), list(model.get_upload_logs()))


with example("a Python step after a model"):
    path = write("step.py", "def wallaroo_json(data: pd.DataFrame):\n    print(data)\n    return [{'output': [data['dense_2'].to_list()[0][0]]}]\n")
    input_schema = pa.schema([pa.field("dense_2", pa.list_(pa.float64()))])
    output_schema = pa.schema([pa.field("output", pa.list_(pa.float64()))])
    with cannot("python-schemas", "schema", kind=Exception):
        wl.upload_model("python-step", path, framework=Framework.PYTHON).configure("python", input_schema=input_schema, output_schema=output_schema)
    step = upload("python-step", path, Framework.PYTHON, input_schema, output_schema)
    ready(step)
    same(step.config().runtime(), "python")
    house = wl.upload_model("house", stock.layer("house.onnx", "tensor", 13, "dense_2"), framework=Framework.ONNX)
    pipeline = wl.build_pipeline("python-step").add_model_step(house).add_model_step(step)
    pipeline.deploy()
    result = pipeline.infer(pd.DataFrame({"tensor": [[0.5] * 13]}))
    prints(result, "time: time, in.tensor: [float], out.output: [float], check_failures: int", check_failures=["check_failures", "anomaly.count"])
    expected = onnxruntime.InferenceSession("house.onnx").run(["dense_2"], {"tensor": np.full((1, 13), 0.5, np.float32)})[0]
    np.testing.assert_allclose(result["out.output"].to_list(), expected, rtol=1e-5)
    pipeline.undeploy()

with example("schemas of a Python model"):
    path = write(
        "forecast_standard.py",
        "import json\n\nimport numpy as np\nimport pandas as pd\n\n\ndef wallaroo_json(data: pd.DataFrame):\n"
        "    counts = np.array(data['count'].to_list()[0])\n    weekly = [float(np.mean(counts[-7:]))]\n"
        "    return [{'forecast': [int(n) for n in counts[-7:]], 'weekly_average': weekly}]\n",
    )
    input_schema = pa.schema([pa.field("count", pa.list_(pa.int64()))])
    output_schema = pa.schema([pa.field("forecast", pa.list_(pa.int64())), pa.field("weekly_average", pa.list_(pa.float64()))])
    with cannot("python-schemas", "schema", kind=Exception):
        wl.upload_model("forecast-control-model", path, framework=Framework.PYTHON)
    forecast_model_version = upload("forecast-control-model", path, Framework.PYTHON, input_schema, output_schema)
    ready(forecast_model_version)
    forecast_model_version.configure(runtime="python", input_schema=input_schema, output_schema=output_schema)
    pipeline = wl.build_pipeline("forecast").add_model_step(forecast_model_version)
    pipeline.deploy()
    result = pipeline.infer(pd.DataFrame({"count": [[10, 20, 30, 40, 50, 60, 70]]}))
    prints(result, "time: time, in.count: [int], out.forecast: [int], out.weekly_average: [float], anomaly.count: int")
    same(result["out.weekly_average"][0], [40.0])
    pipeline.undeploy()

with example("steps before and after a model"):
    before = write(
        "preprocess.py",
        "import json\n\nimport numpy\nimport pandas\n\n\n# the product of price and whether the customer is known helps the model\ndef actual_preprocess(pdata):\n"
        "    pd = pdata.copy()\n    pd.cust_known = numpy.where(pd.cust_known, 1, 0)\n    pd['UnitPriceXcust_known'] = pd.UnitPrice * pd.cust_known\n"
        "    return pd.loc[:, ['UnitPrice', 'cust_known', 'UnitPriceXcust_known']]\n\n\ndef wallaroo_json(data):\n    obj = json.loads(data)\n"
        "    pdata = pandas.DataFrame(obj['query'], columns=obj['colnames'])\n    ready = actual_preprocess(pdata)\n"
        "    return {'tensor_fields': ['model_input'], 'model_input': ready.to_numpy().tolist()}\n",
    )
    after = write("postprocess.py", "import numpy as np\n\n\ndef wallaroo_json(data):\n    return {'prediction': [[float(v[0]) for v in data['demand']]]}\n")
    with cannot("upload-framework", "framework", kind=ValueError):
        wl.upload_model("preprocess", before).configure("python")
    query = [("colnames", pa.list_(pa.string())), ("query", pa.list_(pa.list_(pa.float64())))]
    module_pre = upload("preprocess", before, Framework.PYTHON, query, [("model_input", pa.list_(pa.float64()))])
    module_post = upload("postprocess", after, Framework.PYTHON, [("demand", pa.list_(pa.float32()))], [("prediction", pa.list_(pa.float64()))])
    demand_curve_model = wl.upload_model("demandcurve", stock.layer("demand.onnx", "model_input", 3, "demand"), framework=Framework.ONNX)
    ready(module_pre, module_post)
    demandcurve_pipeline = wl.build_pipeline("demand-curve-pipeline").add_model_step(module_pre).add_model_step(demand_curve_model).add_model_step(module_post)
    demandcurve_pipeline.deploy()
    asked = pd.DataFrame({"colnames": [["UnitPrice", "cust_known"]], "query": [[[1.5, 1.0], [2.5, 0.0]]]})
    result = demandcurve_pipeline.infer(asked)
    same([kind(result["out.prediction"][0]), len(result["out.prediction"][0])], ["[float]", 2])
    demandcurve_pipeline.undeploy()

with example("the classes of a custom model"):
    sample = (
        "import mac\n\n\nclass SampleClass(mac.inference.Inference):\n    @property\n    def expected_model_types(self):\n        return {str}\n\n"
        "    def _predict(self, input_data):\n        return {'upper': [word.upper() + self.model for word in input_data['word']]}\n\n\n"
        "class SampleBuilder(mac.inference.creation.InferenceBuilder):\n    @property\n    def inference(self):\n        return SampleClass\n\n"
        "    def create(self, config):\n        made = self.inference()\n        made.model = (config.model_path / 'mark.txt').read_text()\n        return made\n"
    )
    with zipfile.ZipFile("sample.zip", "w") as archive:
        for name, text in (("sample.py", sample), ("mark.txt", "!"), ("requirements.txt", "pillow>=10.0.0\n")):
            archive.writestr(f"sample/{name}", text)
    sample = upload("sample", "./sample.zip", Framework.CUSTOM, [("word", pa.string())], [("upper", pa.string())])
    with zipfile.ZipFile("old.zip", "w") as archive:
        archive.writestr("old/sample.py", "import mac\n")
        archive.writestr("old/requirements.txt", "tensorflow==2.8.0\nscikit-learn==1.2.2\n")
    old = upload("old", "./old.zip", Framework.CUSTOM, [("word", pa.string())], [("upper", pa.string())])
    ready(sample)
    pipeline = wl.build_pipeline("sample").add_model_step(sample)
    pipeline.deploy()
    same(pipeline.infer(pd.DataFrame({"word": ["a", "b"]}))["out.upper"].tolist(), ["A!", "B!"])
    pipeline.undeploy()

with example("a custom model that reshapes data"):
    with zipfile.ZipFile("resize-arrow.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(reshaper, "resize/custom_inference.py")
        archive.writestr("resize/requirements.txt", "pillow>=10.0.0\n")
    input_schema = pa.schema([pa.field("data", pa.list_(pa.float32(), list_size=921600))])
    output_schema = pa.schema([pa.field("image", pa.list_(pa.float32(), list_size=921600))])
    with written() as told:
        resize = wl.upload_model("resize", "./resize-arrow.zip", framework=wallaroo.framework.Framework.CUSTOM, input_schema=input_schema, output_schema=output_schema, convert_wait=True)
    guide = r"Waiting for model loading - this will take up to 10.0min.\nModel is pending loading to a container runtime\.+\nModel is attempting loading to a container runtime\.+successful\n\nReady\n"
    printed = r"Waiting for model loading - this will take up to 10min.\n(Model is (pending|attempting) loading to a container runtime\.*\n?)*(Successful\n)?Ready\n"
    assert re.fullmatch(printed, told.getvalue()) and not re.fullmatch(guide, told.getvalue()), repr(told.getvalue())
    because("loading-text")
    same((resize.status(), resize.config().runtime()), ("ready", "flight"))
    model = wl.upload_model("mobilenet", stock.pixels("mobilenet.pt.onnx"), framework=wallaroo.framework.Framework.ONNX)
    dc = wallaroo.DeploymentConfigBuilder().cpus(4).memory("4Gi").build()
    pipeline = wl.build_pipeline("resize-pipeline")
    pipeline.add_model_step(resize)
    pipeline.add_model_step(model)
    pipeline.deploy(deployment_config=dc)
    image = np.random.default_rng(1).random((2, 921600)).astype(np.float32)
    result = pipeline.infer(pa.table({"data": pa.FixedSizeListArray.from_arrays(pa.array(image.ravel()), 921600)}), dataset=["out"])
    np.testing.assert_allclose(result["out.brightness"].to_pylist(), image.reshape(2, 3, -1).mean(2), rtol=1e-3)

with example("a deployment of native and containerized models"):
    model_native, model_containerized = model, resize
    same((model_native.config().runtime(), model_containerized.config().runtime()), ("onnx", "flight"))
    deployment_config_containerized = (
        DeploymentConfigBuilder().replica_count(1).cpus(0.5).memory("1Gi").sidekick_cpus(model_containerized, 0.5).sidekick_memory(model_containerized, "1Gi").build()
    )
    pipeline.deploy(deployment_config=deployment_config_containerized)
    same(pipeline.status()["status"], "Running")
    pipeline.undeploy()

with example("requirements of the guide's time"):
    end = time.monotonic() + 120
    while old.status() not in ("ready", "error") and time.monotonic() < end:
        time.sleep(0.2)
    same(old.status(), "ready", "old-requirements", "error")
    assert "tensorflow" in old.error_summary(), old.error_summary()

example.finish()
