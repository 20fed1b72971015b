"""Section 4 of the guide, and 4.1: uploading ONNX models, and how a model is configured."""

import platform

import numpy as np
import pandas as pd
import wallaroo
from wallaroo.engine_config import Architecture
from wallaroo.framework import Framework

from guide import cannot, client, example, prints, raises, same, typed, workspace
import stock

wl = client()
workspace(wl, "guide-models")
model_name, model_file_name = "ccfraud", stock.ccfraud()
deploy_config = wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(0.5).memory("1Gi").build()
payment = stock.payments(1)[0]
uploaded = "name: text, version: uuid, file_name: text, image_path: none, last_update_time: time"

with example("list the frameworks"):
    told = "onnx tensorflow python keras sklearn pytorch xgboost feature-extraction image-classification image-segmentation image-to-text object-detection question-answering"
    told += " stable-diffusion-text-2-img summarization text-classification translation zero-shot-classification zero-shot-image-classification zero-shot-object-detection sentiment-analysis text-generation"
    ours = [e.value.removeprefix("hugging-face-") for e in Framework]
    assert set(told.split()) < set(ours), "the guide's are all there"
    same(sorted(set(ours) - set(told.split())), [], "frameworks-list", ["automatic-speech-recognition", "custom", "sglang", "vllm"])

with example("an ONNX model with its own input names"):
    with cannot("upload-framework", "framework", kind=ValueError):
        wl.upload_model(model_name, model_file_name)
    model = wl.upload_model(model_name, model_file_name, framework=Framework.ONNX)
    pipeline = wl.build_pipeline("ccfraud-inputs")
    pipeline.add_model_step(model)
    pipeline.deploy(deployment_config=deploy_config)
    smoke_test = pd.DataFrame.from_records([{"dense_input": payment}])
    result = pipeline.infer(smoke_test)
    prints(result, "time: time, in.dense_input: [float], out.dense_1: [float], check_failures: int", check_failures=["check_failures", "anomaly.count"])

with example("an ONNX model with other input names"):
    model = wl.upload_model(model_name, model_file_name, framework=Framework.ONNX).configure(tensor_fields=["tensor"])
    pipeline.clear().add_model_step(model)
    pipeline.deploy(deployment_config=deploy_config)
    smoke_test = pd.DataFrame.from_records([{"tensor": payment}])
    result = pipeline.infer(smoke_test)
    prints(result, "time: time, in.tensor: [float], out.dense_1: [float], check_failures: int", check_failures=["check_failures", "anomaly.count"])
    with raises("2", "1"):
        wl.upload_model("two-names", model_file_name, framework=Framework.ONNX).configure(tensor_fields=["tensor", "other"])

with example("data that an ONNX model takes"):
    pipeline.clear().add_model_step(model).deploy(deployment_config=deploy_config)
    with raises("tensor"):
        pipeline.infer(pd.DataFrame({"tensor": [payment, payment[:2]]}))
    with raises("tensor"):
        pipeline.infer(pd.DataFrame({"tensor": [[*payment[:28], "Bob"]]}))
    same(len(pipeline.infer(pd.DataFrame({"tensor": [payment] * 5}))), 5)
    pipeline.undeploy()

with example("what an upload gives back"):
    model_path = stock.layer("embedder.onnx", "tensor", 100, "embedding", size=8)
    with cannot("typing-slips", "Framework", kind=TypeError):
        wl.upload_model("embedder-o", model_path, Framework=Framework.ONNX).configure("onnx")
    embedder = wl.upload_model("embedder-o", model_path, framework=Framework.ONNX).configure("onnx")
    prints(typed(embedder), uploaded, arch_columns=["arch", "accel"])
    described = "Name: text, Version: uuid, File Name: text, SHA: sha, Status: text, Image Path: none, Updated At: day-month"
    prints(embedder, described, model_display=["Error Summary", "Architecture", "Acceleration", "Workspace id", "Workspace name"])
    same((embedder.status(), embedder.config().runtime()), ("ready", "onnx"))

with example("one row at a time"):
    yolov8_model_version = wl.upload_model("yolov8", stock.labels("yolov8n.onnx"), framework=Framework.ONNX)
    yolov8_model_version.configure(tensor_fields=["images"], batch_config="single")
    single = wl.build_pipeline("yolo").add_model_step(yolov8_model_version)
    single.deploy()
    image = np.zeros(62, np.float32)
    same(len(single.infer(pd.DataFrame({"images": [image]}))), 1)
    with raises("row"):
        single.infer(pd.DataFrame({"images": [image, image]}))
    single.undeploy()

with example("a model for ARM"):
    wl = client(request_timeout=3)
    workspace(wl, "guide-arm")
    resnet_model = wl.upload_model("resnet", stock.layer("resnet.onnx", "tensor", 10, "out"), framework=Framework.ONNX, arch=Architecture.ARM)
    same(resnet_model.arch(), "arm")
    arm = wl.build_pipeline("resnet").add_model_step(resnet_model)
    deployment_config = wallaroo.deployment_config.DeploymentConfigBuilder().cpus(2).memory("2Gi").arch(Architecture.ARM).build()
    with cannot("typing-slips", "callable", kind=TypeError):
        arm(deployment_config)
    if platform.machine() == "x86_64":
        with cannot("arm-on-x86", "arch_mismatch", "arm", "engines run on x86 here"):
            arm.deploy(deployment_config=deployment_config)
    else:
        arm.deploy(deployment_config=deployment_config)
        arm.undeploy()

example.finish()
