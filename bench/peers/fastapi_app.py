"""FastAPI around onnxruntime, as its documentation would have you write it: uvicorn fastapi_app:app. DATA names the folder of models."""
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, Request, Response

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
sessions = {name: onnxruntime.InferenceSession(f"{os.environ['DATA']}/{name}.onnx", options, providers=["CPUExecutionProvider"]) for name in ("mlp", "cnn")}
app = FastAPI()


@app.post("/{model}")
def predict(model: str, rows: list[dict[str, list]]):
    session = sessions[model]
    name = session.get_inputs()[0].name
    (output,) = session.run(None, {name: np.array([row[name] for row in rows], dtype=np.float32)})
    return [{"out": {session.get_outputs()[0].name: row}} for row in output.tolist()]


@app.post("/{model}/raw")
async def raw(model: str, request: Request):
    session = sessions[model]
    described = session.get_inputs()[0]
    x = np.frombuffer(await request.body(), dtype=np.float32).reshape(-1, *described.shape[1:])
    (output,) = session.run(None, {described.name: x})
    return Response(output.tobytes(), media_type="application/octet-stream")
