"""The base class of what makes a custom model ready."""

from abc import ABC, abstractmethod
from typing import Any

from mac.config.inference import CustomInferenceConfig
from mac.inference import Inference


class InferenceBuilder(ABC):
    """Loads a model and hands it to an `Inference`."""

    def __init__(self) -> None:
        self.custom_config: Any = None

    @property
    @abstractmethod
    def inference(self) -> Any:
        """The class to build an instance of."""

    @abstractmethod
    def create(self, config: CustomInferenceConfig) -> Inference:
        """An `Inference` with its model assigned."""


__all__ = ["InferenceBuilder"]
