"""The sixteen Hugging Face pipelines, from a zip of what `pipeline.save_pretrained` wrote. One table says, for each, which
inputs it takes, whether further inputs go on to the model (as the guide has it) and which outputs it gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Tuple

from ..errors import ModelError
from ..framework import Framework

Result = Dict[str, Any]


def _first(result: Any) -> Any:
    """Pipelines wrap the answer to one input in a list, some of them twice."""
    while isinstance(result, list) and len(result) == 1 and isinstance(result[0], (list, dict)):
        result = result[0]
    return result


def _fields(*names: str) -> Callable[[Any], Result]:
    """One record: its fields."""
    def read(result: Any) -> Result:
        found = _first(result)
        if isinstance(found, list):  # several answers: each field is a list of theirs
            return {name: [one[name] for one in found] for name in names}
        return {name: found[name] for name in names if name in found}
    return read


def _lists(*names: str) -> Callable[[Any], Result]:
    """Any number of records: each field is the list of theirs."""
    def read(result: Any) -> Result:
        found = result[0] if isinstance(result, list) and len(result) == 1 and isinstance(result[0], list) else result
        found = [found] if isinstance(found, Mapping) else found
        return {name: [_value(one[name]) for one in found] for name in names}
    return read


def _value(value: Any) -> Any:
    if value is None:
        return math.nan
    if isinstance(value, Mapping):  # a box
        return [int(value[edge]) for edge in ("xmin", "ymin", "xmax", "ymax")]
    if hasattr(value, "convert"):  # a mask, which is an image
        import numpy as np

        return np.asarray(value).astype(np.int64).tolist()
    return value


def _features(result: Any) -> Result:
    return {"output": result[0]}


def _speech(result: Any) -> Result:
    chunks = [{"text": chunk["text"], "timestamp": [math.nan if t is None else t for t in chunk["timestamp"]]} for chunk in result.get("chunks", [])]
    return {"text": result["text"], "chunks": chunks}


@dataclass(frozen=True)
class Task:
    #: The pipeline's name in `transformers`.
    pipeline: str
    #: What is inferred from; the first is the pipeline's own argument.
    inputs: Tuple[str, ...]
    read: Callable[[Any], Result]
    #: Further arguments of the pipeline.
    optional: Tuple[str, ...] = ()
    #: `generate`: other inputs go on to the model's `generate`; `call`: to the pipeline.
    extra: str = "refuse"
    image: bool = False


_TEXT = ("return_text", "return_tensors", "clean_up_tokenization_spaces")
TASKS = {
    "feature-extraction": Task("feature-extraction", ("inputs",), _features),
    "image-classification": Task("image-classification", ("inputs",), _lists("score", "label"), ("top_k",), image=True),
    "image-segmentation": Task("image-segmentation", ("inputs",), _lists("score", "label", "mask"), ("threshold", "mask_threshold", "overlap_mask_area_threshold"), image=True),
    "image-to-text": Task("image-to-text", ("inputs",), _lists("generated_text"), extra="generate", image=True),
    "object-detection": Task("object-detection", ("inputs",), _lists("score", "label", "box"), ("threshold",), image=True),
    "question-answering": Task("question-answering", ("question", "context"), _fields("score", "start", "end", "answer"),
                               ("top_k", "doc_stride", "max_answer_len", "max_seq_len", "max_question_len", "handle_impossible_answer", "align_to_words")),
    "stable-diffusion-text-2-img": Task("text-to-image", ("prompt",), lambda result: result, ("height", "width", "num_inference_steps", "guidance_scale", "negative_prompt", "num_images_per_prompt", "eta")),
    "summarization": Task("summarization", ("inputs",), _fields("summary_text"), _TEXT, extra="generate"),
    "text-classification": Task("text-classification", ("inputs",), _lists("label", "score"), ("top_k", "function_to_apply"), extra="call"),
    "translation": Task("translation", ("inputs",), _fields("translation_text"), (*_TEXT, "src_lang", "tgt_lang"), extra="generate"),
    "zero-shot-classification": Task("zero-shot-classification", ("inputs", "candidate_labels"), _fields("sequence", "scores", "labels"), ("hypothesis_template", "multi_label")),
    "zero-shot-image-classification": Task("zero-shot-image-classification", ("inputs", "candidate_labels"), _lists("score", "label"), ("hypothesis_template",), image=True),
    "zero-shot-object-detection": Task("zero-shot-object-detection", ("images", "candidate_labels"), _lists("score", "label", "box"), ("threshold", "top_k"), image=True),
    "sentiment-analysis": Task("text-classification", ("inputs",), _lists("label", "score"), ("top_k", "function_to_apply"), extra="call"),
    "text-generation": Task("text-generation", ("inputs",), _lists("generated_text"), (*_TEXT, "return_full_text", "prefix", "handle_long_generation"), extra="generate"),
    "automatic-speech-recognition": Task("automatic-speech-recognition", ("inputs",), _speech, ("return_timestamps",)),
}
PREFIX = "hugging-face-"
_WARM_UP = {
    "top_k": 1, "function_to_apply": "softmax", "return_timestamps": "word", "hypothesis_template": "This is {}.", "handle_long_generation": "hole", "return_text": True,
    "return_tensors": False, "multi_label": False, "num_images_per_prompt": "1", "num_inference_steps": 1, "height": 64, "width": 64, "prefix": "", "threshold": 0.5,
    "doc_stride": 16, "max_answer_len": 4, "max_seq_len": 64, "max_question_len": 16, "max_new_tokens": 4, "max_length": 16, "min_length": 1,
}


def warm_up(context: Any) -> Mapping[str, Any]:
    from ..schema import shape_of

    given = {name: value for name, value in _WARM_UP.items() if name in context.inputs.names}
    shapes = {field.name: shape_of(field.type)[0] for field in context.outputs or ()}
    # What is asked for has to be of the size that is declared.
    many = next((shape[0] for name, shape in shapes.items() if name in ("score", "label") and shape), -1)
    if "top_k" in given and many > 0:
        given["top_k"] = many
    for at, name in ((-3, "height"), (-2, "width")):
        shape = shapes.get("images", ())
        if name in given and len(shape) >= 3 and shape[at] > 0:
            given[name] = shape[at]
    return given


def _check(context: Any, task: Task) -> None:
    if context.inputs is None:
        return
    names = context.inputs.names
    for name in task.inputs:
        if name not in names:
            raise ModelError("model_invalid", f"The input schema of {context.framework} lacks the field {name!r}; it has {', '.join(map(repr, names))}.")
    unknown = [name for name in names if name not in (*task.inputs, *task.optional)]
    if unknown and task.extra == "refuse":
        raise ModelError("model_invalid", f"The input field {unknown[0]!r} is not one that {context.framework} takes: {', '.join((*task.inputs, *task.optional))}.")


def _image(value: Any) -> Any:
    import numpy as np
    from PIL import Image

    array = np.asarray(value)
    if array.dtype == object or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ModelError("schema_mismatch", f"An image has rows, columns and 3 colours; this one has the shape {list(array.shape)}.")
    if array.size and (array.min() < 0 or array.max() > 255):
        raise ModelError("value_out_of_range", f"The colours of an image lie between 0 and 255; these reach from {array.min()} to {array.max()}.")
    pixels = array.astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).convert("RGB")


def _split(task: Task, row: Mapping[str, Any]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """(arguments of the pipeline, arguments of the model's generate)"""
    arguments = {name: value for name, value in row.items() if name in task.optional}
    extra = {name: value for name, value in row.items() if name not in task.optional and name not in task.inputs}
    return ({**arguments, **extra}, {}) if task.extra == "call" else (arguments, extra)


def _diffusion(context: Any) -> Callable:
    import numpy as np
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(str(context.path), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)

    def run(row: Mapping[str, Any]) -> Result:
        given = {**row, **({"num_images_per_prompt": int(row["num_images_per_prompt"])} if "num_images_per_prompt" in row else {})}
        images = pipe(output_type="np", **given).images
        pixels = (np.asarray(images) * 255).round().astype(np.int64)
        return {"images": pixels[0] if len(pixels) == 1 else pixels}

    return run


def _call(pipe: Any, task: Task, row: Mapping[str, Any]) -> Any:
    arguments, generate = _split(task, row)
    if task.pipeline == "question-answering":
        return pipe(question=row["question"], context=row["context"], **arguments)
    given = row[task.inputs[0]]
    if task.image:
        given = _image(given)
    if task.pipeline == "automatic-speech-recognition":
        import numpy as np

        given = np.asarray(given, dtype=np.float32)
        if arguments.get("return_timestamps") in ("true", "True", "false", "False"):  # the guide's schema has text here
            arguments["return_timestamps"] = arguments["return_timestamps"].lower() == "true"
    if "candidate_labels" in task.inputs:
        arguments["candidate_labels"] = [str(label) for label in row["candidate_labels"]]
    if task.pipeline == "image-to-text":
        return pipe(given, **({"generate_kwargs": generate} if generate else {}))
    return pipe(given, **arguments, **generate)


def load(context: Any) -> Callable:
    task = TASKS[context.framework[len(PREFIX):]]
    _check(context, task)
    listed = "model_index.json" if task.pipeline == "text-to-image" else "config.json"
    if not (context.path / listed).is_file():
        raise ModelError("model_invalid", f"The archive has no {listed} at its top. Zip the folder that the pipeline's save_pretrained wrote.")
    if task.pipeline == "text-to-image":
        one = _diffusion(context)
    else:
        import transformers

        transformers.utils.logging.disable_progress_bar()
        path = str(context.path)
        if task.pipeline == "translation":  # by its class: its name would have to say the languages, which are the model's or the request's
            model, tokenizer = transformers.AutoModelForSeq2SeqLM.from_pretrained(path), transformers.AutoTokenizer.from_pretrained(path)
            pipe = transformers.TranslationPipeline(model=model, tokenizer=tokenizer, task="translation", device=-1)
        else:
            pipe = transformers.pipeline(task.pipeline, model=path, device=-1)
        pipe.model.eval()

        def one(row: Mapping[str, Any]) -> Result:
            return task.read(_call(pipe, task, row))

    def predict(inputs: Any) -> Mapping[str, list]:
        arrays = inputs.arrays()
        rows = [{name: _plain(column[i]) for name, column in arrays.items()} for i in range(inputs.rows)]
        answers = [one(row) for row in rows]
        return {name: [answer[name] for answer in answers] for name in answers[0]} if answers else {}

    return predict


def _plain(value: Any) -> Any:
    return value.item() if getattr(value, "ndim", 1) == 0 and hasattr(value, "item") else value


FRAMEWORK = Framework(
    names=tuple(f"{PREFIX}{name}" for name in TASKS),
    load=load,
    needs_input_schema=True,
    archive="always",
    lenient=True,
    warm_up=warm_up,
    requirements=(
        "torch==2.9.1; python_version >= '3.10'", "torch==2.8.0; python_version < '3.10'", "torchvision==0.24.1; python_version >= '3.10'", "torchvision==0.23.0; python_version < '3.10'",
        "transformers==4.57.3", "diffusers==0.35.2", "accelerate>=1.10", "pillow>=11", "sentencepiece>=0.2", "scipy>=1.13",
    ),
    guide_requirements=("transformers==4.34.1", "diffusers==0.14.0", "accelerate==0.23.0", "torchvision==0.14.1", "torch==1.13.1", "numpy<2", "pandas<2.3"),
)
