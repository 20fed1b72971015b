"""The classes that a model of the framework `custom` (bring your own predict) extends; `import mac` is enough to reach them all."""

import mac.config.inference
import mac.exceptions
import mac.types  # noqa: F401
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder

__all__ = ["Inference", "InferenceBuilder"]
