"""The base class of a custom model."""

from abc import ABC, abstractmethod
from typing import Any, Optional, Set

from mac.exceptions import InferenceDataValidationError, InferenceTypeError, ModelNotAssignedError
from mac.types import InferenceData


class Inference(ABC):
    """Serves one model. A subclass says what kinds of model it expects and how it predicts."""

    def __init__(self) -> None:
        self._model: Optional[Any] = None

    @property
    @abstractmethod
    def expected_model_types(self) -> Set[Any]:
        """The classes of which `model` may be an instance."""

    @property
    def model(self) -> Optional[Any]:
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        self._raise_error_if_model_is_wrong_type(model)
        self._model = model

    def predict(self, input_data: InferenceData) -> InferenceData:
        """Checks the model and the data, then predicts."""
        self._raise_error_if_model_is_not_assigned()
        output = self._predict(input_data)
        if not isinstance(output, dict):
            raise InferenceDataValidationError(f"_predict of {type(self).__name__} returned a {type(output).__name__}; it must return a dictionary of numpy arrays.")
        return output

    @abstractmethod
    def _predict(self, input_data: InferenceData) -> InferenceData:
        """The model's answer to a dictionary of numpy arrays, in the same form."""

    def _raise_error_if_model_is_not_assigned(self) -> None:
        if self._model is None:
            raise ModelNotAssignedError(f"{type(self).__name__} has no model. Assign one in the builder's create: inference.model = ...")

    def _raise_error_if_model_is_wrong_type(self, model: Any) -> None:
        if not isinstance(model, tuple(self.expected_model_types)):
            names = sorted(kind.__name__ for kind in self.expected_model_types)
            raise InferenceTypeError(f"The model of {type(self).__name__} is a {type(model).__name__}; expected_model_types says {', '.join(names)}.")

    raise_error_if_model_is_not_assigned = _raise_error_if_model_is_not_assigned
    raise_error_if_model_is_wrong_type = _raise_error_if_model_is_wrong_type


__all__ = ["Inference"]
