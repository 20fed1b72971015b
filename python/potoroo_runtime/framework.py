"""What a framework is. Each module of `frameworks/` defines one as `FRAMEWORK`; importing it imports no library of the framework."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .errors import ModelError


@dataclass
class Context:
    """One model as it is to be loaded. `path` is the uploaded file, or the folder with its content when it is an archive."""

    path: Path
    file_name: str
    framework: str
    inputs: Any = None  # pyarrow.Schema, None where none is declared
    outputs: Any = None
    options: Dict[str, Any] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        return Path(self.file_name).suffix.lower()


#: Takes `inputs.Inputs`, gives columns: a mapping of names to arrays, a DataFrame, an Arrow table.
Predict = Callable[[Any], Any]


@dataclass(frozen=True)
class Framework:
    names: Tuple[str, ...]
    load: Callable[[Context], Predict]
    #: Pinned packages, beside those of `BASE`. Two entries for one package have markers that exclude each other.
    requirements: Tuple[str, ...] = ()
    #: The versions of the guide, for who asks for them (`versions: "guide"`); they install on older Pythons only.
    guide_requirements: Tuple[str, ...] = ()
    #: `no`: the file itself; `always`: a zip that is unpacked before `load`; `maybe`: unpacked when it is named `.zip` and is one.
    archive: str = "no"
    #: One row out per row in. What is not aligned never shares a run with other requests.
    aligned: bool = True
    #: Made-up warm-up data may be refused: an exception is then an answer too.
    lenient: bool = False
    #: Values for columns of the warm-up data where made-up ones would make no sense.
    warm_up: Optional[Callable[[Context], Mapping[str, Any]]] = None
    #: Gives an ONNX model, or raises `ModelError` saying why there is none.
    convert: Optional[Callable[[Context], Any]] = None
    #: Pythons that its packages install on, the preferred one first; empty: every one.
    pythons: Tuple[str, ...] = ()
    #: Its models do not say what they take, so that an upload has to; what they give, the warm-up inference shows.
    needs_input_schema: bool = False
    #: Takes settings of its own with the upload, in `Context.options` under its name.
    settings: bool = False
    #: The containerized runtime that the model config names when the model runs in a process of its own.
    runtime: str = "flight"


#: What every model's process needs.
BASE = (
    "numpy==2.4.6; python_version >= '3.11'",
    "numpy==2.0.2; python_version < '3.11'",
    "pandas==3.1.1; python_version >= '3.11'",
    "pandas==2.3.3; python_version < '3.11'",
    "pyarrow==25.0.1; python_version >= '3.10'",
    "pyarrow==21.0.0; python_version < '3.10'",
)


def all_frameworks() -> Dict[str, Framework]:
    from . import frameworks

    found: Dict[str, Framework] = {}
    for module in pkgutil.iter_modules(frameworks.__path__):
        framework = importlib.import_module(f"{frameworks.__name__}.{module.name}").FRAMEWORK
        for name in framework.names:
            if name in found:
                raise RuntimeError(f"two modules of frameworks/ define {name}")
            found[name] = framework
    return found


def find(name: str) -> Framework:
    known = all_frameworks()
    if name not in known:
        raise ModelError("framework_unsupported", f"The framework {name!r} is not one of {', '.join(sorted(known))}.")
    return known[name]
