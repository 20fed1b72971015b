"""Bring your own predict: a zip with Python files, artifacts and a requirements.txt; the classes it extends are in `mac`."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any, Callable, List

from ..errors import ModelError
from ..framework import Framework

BUILDER = "InferenceBuilder"


def _candidates(root: Path) -> List[Path]:
    """Python files with a class whose written base is an InferenceBuilder; read, not run."""
    found = []
    for path in sorted(root.rglob("*.py")):
        try:
            tree = ast.parse(path.read_bytes(), filename=path.name)
        except (SyntaxError, ValueError) as error:
            raise ModelError("model_invalid", f"The file {path.relative_to(root)} cannot be read as Python {sys.version_info[0]}.{sys.version_info[1]}: {error}.") from None
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        if any(ast.unparse(base).split(".")[-1] == BUILDER for node in classes for base in node.bases):
            found.append(path)
    return found


def _builders(root: Path) -> List[type]:
    from mac.inference.creation import InferenceBuilder

    found = []
    for path in _candidates(root):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        module = importlib.import_module(name)
        found += [kind for kind in vars(module).values() if inspect.isclass(kind) and issubclass(kind, InferenceBuilder)
                  and kind.__module__ == module.__name__ and not inspect.isabstract(kind)]
    return found


def load(context: Any) -> Callable:
    from mac.config.inference import CustomInferenceConfig
    from mac.inference import Inference

    root = context.path
    sys.path.insert(0, str(root))
    builders = _builders(root)
    if not builders:
        raise ModelError("model_invalid", "No class in the archive extends mac.inference.creation.InferenceBuilder. Add one whose create() returns your Inference.")
    if len(builders) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in builders))
        raise ModelError("model_invalid", f"The archive has {len(builders)} classes that extend InferenceBuilder ({names}). Keep one; it may build the others.")
    options = context.options.get("custom") or {}
    builder = builders[0]()
    builder.custom_config = options
    inference = builder.create(CustomInferenceConfig(model_path=root, custom_config=options))
    if not isinstance(inference, Inference):
        raise ModelError("model_invalid", f"create() of {builders[0].__name__} returned a {type(inference).__name__}; it must return an instance of mac.inference.Inference.")
    inference._raise_error_if_model_is_not_assigned()
    inference._raise_error_if_model_is_wrong_type(inference.model)
    return lambda inputs: inference.predict(inputs.arrays())


FRAMEWORK = Framework(names=("custom",), load=load, archive="always", aligned=False, lenient=True, settings=True)
