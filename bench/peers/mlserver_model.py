"""An MLServer runtime around onnxruntime; run.mjs writes its model-settings.json."""
import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Onnx(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed = {i.name: NumpyCodec.decode_input(i).astype(np.float32) for i in payload.inputs}
        outputs = self.session.run(None, feed)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output(o.name, y) for o, y in zip(self.session.get_outputs(), outputs)])
