"""The Python step as an MLServer runtime of one's own; scikit-learn models run in its mlserver-sklearn."""
from mlserver import MLModel
from mlserver.codecs import PandasCodec
from mlserver.types import InferenceRequest, InferenceResponse
from step import wallaroo_json


class Step(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        return PandasCodec.encode_response(self.name, wallaroo_json(PandasCodec.decode_request(payload)))
