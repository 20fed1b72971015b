"""What a builder learns about its model."""

import pathlib
from typing import Any, Dict, Optional


class CustomInferenceConfig:
    """`model_path` is the folder with the archive's files; every artifact is to be loaded relative to it."""

    def __init__(self, model_path: pathlib.Path, framework: str = "custom", custom_config: Optional[Dict[str, Any]] = None) -> None:
        self.model_path = pathlib.Path(model_path)
        self.framework = framework
        #: Free keys that were given at upload.
        self.custom_config = dict(custom_config or {})


__all__ = ["CustomInferenceConfig"]
