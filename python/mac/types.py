"""What a custom model takes and gives: one numpy array per field, rows first."""

from typing import Any, Dict

InferenceData = Dict[str, Any]
