"""Keras models: `.h5` and `.keras` files, and zipped SavedModels."""

from __future__ import annotations

from typing import Any, Callable

from ..framework import Framework


def _model(context: Any) -> Any:
    """A Keras model, or the signature of a SavedModel."""
    if context.path.is_dir():
        from ..saved_model import signature_of

        return signature_of(context.path)
    import keras

    path = context.path
    if path.suffix not in (".h5", ".keras", ".hdf5"):  # Keras goes by the name
        from pathlib import Path

        link = Path.cwd() / f"model{context.suffix if context.suffix in ('.h5', '.hdf5') else '.keras'}"
        if not link.exists():
            link.symlink_to(path)
        path = link
    return keras.models.load_model(path, compile=False)


def _feeds(model: Any, inputs: Any) -> Any:
    import numpy as np

    arrays = inputs.arrays()
    by_name = {tensor.name.split(":")[0]: tensor for tensor in model.inputs}
    names = list(by_name) if set(by_name) == set(arrays) else list(arrays)
    given = [np.asarray(arrays[name], dtype=tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name) for name, tensor in zip(names, model.inputs)]
    return given[0] if len(given) == 1 else given


def load(context: Any) -> Callable:
    from ..inputs import named
    from ..saved_model import predictor, values_of

    model = _model(context)
    if not hasattr(model, "predict"):
        return predictor(model, lambda: context.outputs)
    return lambda inputs: named(values_of(model(_feeds(model, inputs), training=False)), context.outputs)


def convert(context: Any) -> Any:
    import tensorflow as tf
    import tf2onnx

    from ..saved_model import specs

    model = _model(context)
    if hasattr(model, "predict"):
        given = [tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name=f"x{i}") for i, tensor in enumerate(model.inputs)]
        function = tf.function(lambda *tensors: model(tensors[0] if len(tensors) == 1 else list(tensors), training=False), input_signature=given)
    else:
        names = list(specs(model))
        given = [tf.TensorSpec(spec.shape, spec.dtype, name=f"x{i}") for i, spec in enumerate(specs(model).values())]
        # In the schema's order, as the model's own answer is read.
        function = tf.function(lambda *tensors: model(**dict(zip(names, tensors))), input_signature=given)
    made, _ = tf2onnx.convert.from_function(function, input_signature=given, opset=17)
    return made, [output.name for output in made.graph.output][: len(context.outputs)]


FRAMEWORK = Framework(
    names=("keras",),
    load=load,
    needs_input_schema=True,
    convert=convert,
    archive="maybe",
    requirements=("tensorflow-cpu==2.21.0; python_version >= '3.10'", "tensorflow-cpu==2.20.0; python_version < '3.10'", "tf2onnx>=1.16", "onnx>=1.17", "onnxruntime>=1.19"),
    guide_requirements=("tensorflow==2.9.3", "keras==2.9.0", "protobuf<3.20", "numpy<1.27", "pandas<2.3"),
)
