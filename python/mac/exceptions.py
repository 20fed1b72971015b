"""Errors around a custom model."""


class InferenceDataValidationError(Exception):
    """The data that was sent to the model, or that it gave, is not what it should be."""


class ModelNotAssignedError(Exception):
    """`predict` was called before the builder assigned a model."""


class InferenceTypeError(TypeError):
    """The assigned model is not of one of the `expected_model_types`."""
