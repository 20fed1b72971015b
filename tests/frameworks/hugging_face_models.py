"""A tiny, randomly initialised model for each of the sixteen pipelines; nothing is downloaded."""

import json
import shutil

import numpy as np
import torch
import transformers as tf
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from making import FOLDER, archive_of, case, done, pa, schema

torch.manual_seed(9)
tf.utils.logging.set_verbosity_error()
tf.utils.logging.disable_progress_bar()
random = np.random.default_rng(9)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "</s>", "<s>", *"the a cat dog sat on mat this example is about . , politics sport hello world potoroo runs models warm up {}".split(), *[f"w{i}" for i in range(60)]]
TEXTS = ["the cat sat on the mat .", "hello world , potoroo runs models"]


def tokenizer(bert=True):
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if bert:
        made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
        return tf.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=64)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 4)])
    return tf.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", eos_token="</s>", bos_token="<s>", model_max_length=64, model_input_names=["input_ids", "attention_mask"])


def store(name, *parts):
    folder = FOLDER / name
    for part in parts:
        part.eval() if hasattr(part, "eval") else None
        part.save_pretrained(folder)
    return folder


def add(name, folder, inputs, outputs, rows, expected, tolerance=1e-4):
    case(name, f"hugging-face-{name}", archive_of(f"{name}.zip", folder), inputs, outputs, rows, expected, tolerance=tolerance)


bert = dict(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=80)
text, strings, floats = pa.string(), pa.list_(pa.string()), pa.list_(pa.float64())

folder = store("features", tf.BertModel(tf.BertConfig(**bert)), tokenizer())
pipe = tf.pipeline("feature-extraction", model=str(folder))
add("feature-extraction", folder, schema(inputs=text), schema(output=pa.list_(pa.list_(pa.float64(), 16))), {"inputs": TEXTS}, {"output": [pipe(t)[0] for t in TEXTS]})

labels = dict(id2label={0: "SPORT", 1: "POLITICS", 2: "OTHER"}, label2id={"SPORT": 0, "POLITICS": 1, "OTHER": 2})
folder = store("classes", tf.BertForSequenceClassification(tf.BertConfig(**bert, **labels)), tokenizer())
pipe = tf.pipeline("text-classification", model=str(folder))
answers = [pipe(t, top_k=2) for t in TEXTS]
two_strings, two_floats = pa.list_(pa.string(), 2), pa.list_(pa.float64(), 2)
classified = {"label": [[a["label"] for a in row] for row in answers], "score": [[a["score"] for a in row] for row in answers]}
add("text-classification", folder, schema(inputs=text, top_k=pa.int64()), schema(label=two_strings, score=two_floats), {"inputs": TEXTS, "top_k": [2, 2]}, classified)
one = [pipe(t)[0] for t in TEXTS]
add("sentiment-analysis", folder, schema(inputs=text), schema(label=pa.list_(pa.string(), 1), score=pa.list_(pa.float64(), 1)), {"inputs": TEXTS}, {"label": [[a["label"]] for a in one], "score": [[a["score"]] for a in one]})

folder = store("answers", tf.BertForQuestionAnswering(tf.BertConfig(**bert)), tokenizer())
pipe = tf.pipeline("question-answering", model=str(folder))
options = dict(top_k=1, doc_stride=16, max_answer_len=5, max_seq_len=40, max_question_len=10, handle_impossible_answer=False, align_to_words=False)
answer = pipe(question="hello the dog", context="the cat sat on the mat . this is about a dog", **options)
answer = answer[0] if isinstance(answer, list) else answer
add("question-answering", folder,
    schema(question=text, context=text, top_k=pa.int64(), doc_stride=pa.int64(), max_answer_len=pa.int64(), max_seq_len=pa.int64(), max_question_len=pa.int64(), handle_impossible_answer=pa.bool_(), align_to_words=pa.bool_()),
    schema(score=pa.float64(), start=pa.int64(), end=pa.int64(), answer=text), {"question": ["hello the dog"], "context": ["the cat sat on the mat . this is about a dog"], **{k: [v] for k, v in options.items()}}, {k: [answer[k]] for k in ("score", "start", "end", "answer")})

entails = dict(id2label={0: "contradiction", 1: "neutral", 2: "entailment"}, label2id={"contradiction": 0, "neutral": 1, "entailment": 2})
folder = store("entails", tf.BertForSequenceClassification(tf.BertConfig(**bert, **entails)), tokenizer())
pipe = tf.pipeline("zero-shot-classification", model=str(folder))
chosen = ["politics", "sport"]
answers = [pipe(t, candidate_labels=chosen, hypothesis_template="this is about {}", multi_label=True) for t in TEXTS]
add("zero-shot-classification", folder, schema(inputs=text, candidate_labels=two_strings, hypothesis_template=text, multi_label=pa.bool_()), schema(sequence=text, scores=two_floats, labels=two_strings),
    {"inputs": TEXTS, "candidate_labels": [chosen] * 2, "hypothesis_template": ["this is about {}"] * 2, "multi_label": [True, True]}, {k: [a[k] for a in answers] for k in ("sequence", "scores", "labels")})

t5 = tf.T5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0, eos_token_id=4, decoder_start_token_id=0)
folder = store("seq2seq", tf.T5ForConditionalGeneration(t5), tokenizer(False))
pipe = tf.pipeline("summarization", model=str(folder))
answers = [pipe(t, max_new_tokens=5)[0]["summary_text"] for t in TEXTS]
flags = dict(return_text=pa.bool_(), return_tensors=pa.bool_(), clean_up_tokenization_spaces=pa.bool_())
flag_rows = {"return_text": [True] * 2, "return_tensors": [False] * 2, "clean_up_tokenization_spaces": [False] * 2}
answers = [pipe(t, max_new_tokens=5, return_text=True, return_tensors=False, clean_up_tokenization_spaces=False)[0]["summary_text"] for t in TEXTS]
add("summarization", folder, schema(inputs=text, **flags, max_new_tokens=pa.int64()), schema(summary_text=text), {"inputs": TEXTS, **flag_rows, "max_new_tokens": [5, 5]}, {"summary_text": answers})
pipe = tf.pipeline("translation_en_to_fr", model=str(folder))
answers = [pipe(t, max_new_tokens=6)[0]["translation_text"] for t in TEXTS]
add("translation", folder, schema(inputs=text, max_new_tokens=pa.int64()), schema(translation_text=text), {"inputs": TEXTS, "max_new_tokens": [6, 6]}, {"translation_text": answers})

gpt = tf.GPT2Config(vocab_size=len(WORDS), n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=5, eos_token_id=4, pad_token_id=0)
folder = store("gpt", tf.GPT2LMHeadModel(gpt), tokenizer(False))
pipe = tf.pipeline("text-generation", model=str(folder))
answers = [[a["generated_text"] for a in pipe(t, max_new_tokens=4, do_sample=False, return_full_text=False)] for t in TEXTS]
add("text-generation", folder, schema(inputs=text, return_full_text=pa.bool_(), do_sample=pa.bool_(), max_new_tokens=pa.int64()), schema(generated_text=pa.list_(pa.string(), 1)), {"inputs": TEXTS, "return_full_text": [False] * 2, "do_sample": [False] * 2, "max_new_tokens": [4, 4]}, {"generated_text": answers})

pixels = random.integers(0, 255, (2, 100, 100, 3))
pictures = [Image.fromarray(p.astype(np.uint8)) for p in pixels]
image = pa.list_(pa.list_(pa.list_(pa.int64(), 3), 100), 100)
vit = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16)
folder = store("vit", tf.ViTForImageClassification(tf.ViTConfig(**vit, **labels)), tf.ViTImageProcessor(size={"height": 32, "width": 32}))
pipe = tf.pipeline("image-classification", model=str(folder))
answers = [pipe(p, top_k=2) for p in pictures]
add("image-classification", folder, schema(inputs=image, top_k=pa.int64()), schema(score=two_floats, label=two_strings), {"inputs": pixels, "top_k": [2, 2]}, {k: [[a[k] for a in row] for row in answers] for k in ("score", "label")})

segformer = tf.SegformerConfig(num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 8], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=8, **labels)
folder = store("segments", tf.SegformerForSemanticSegmentation(segformer), tf.SegformerImageProcessor(size={"height": 32, "width": 32}))
pipe = tf.pipeline("image-segmentation", model=str(folder))
thresholds = dict(threshold=0.5, mask_threshold=0.5, overlap_mask_area_threshold=0.5)
answers = [pipe(p, **thresholds) for p in pictures]
add("image-segmentation", folder, schema(inputs=image, **{k: pa.float64() for k in thresholds}), schema(score=floats, label=strings, mask=pa.list_(pa.list_(pa.list_(pa.int64(), 100), 100))), {"inputs": pixels, **{k: [v] * 2 for k, v in thresholds.items()}},
    {"score": [[np.nan if a["score"] is None else a["score"] for a in row] for row in answers], "label": [[a["label"] for a in row] for row in answers], "mask": [[np.asarray(a["mask"]).astype(np.int64).tolist() for a in row] for row in answers]})

captions = tf.VisionEncoderDecoderModel(encoder=tf.ViTModel(tf.ViTConfig(**vit)), decoder=tf.GPT2LMHeadModel(tf.GPT2Config(**{**gpt.to_dict(), "add_cross_attention": True, "is_decoder": True})))
captions.config.decoder_start_token_id, captions.config.pad_token_id = 5, 0
captions.generation_config.decoder_start_token_id, captions.generation_config.pad_token_id = 5, 0
folder = store("captions", captions, tf.ViTImageProcessor(size={"height": 32, "width": 32}), tokenizer(False))
pipe = tf.pipeline("image-to-text", model=str(folder))
answers = [[a["generated_text"] for a in pipe(p, generate_kwargs={"max_new_tokens": 4})] for p in pictures]
add("image-to-text", folder, schema(inputs=image, max_new_tokens=pa.int64()), schema(generated_text=strings), {"inputs": pixels, "max_new_tokens": [4, 4]}, {"generated_text": answers})


def boxed(answers):
    return {"score": [[a["score"] for a in row] for row in answers], "label": [[a["label"] for a in row] for row in answers],
            "box": [[[a["box"][e] for e in ("xmin", "ymin", "xmax", "ymax")] for a in row] for row in answers]}


boxes = schema(score=floats, label=strings, box=pa.list_(pa.list_(pa.int64(), 4)))
yolos = tf.YolosConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[32, 32], patch_size=16, num_detection_tokens=4, **labels)
folder = store("yolos", tf.YolosForObjectDetection(yolos), tf.YolosImageProcessor(size={"height": 32, "width": 32}))
pipe = tf.pipeline("object-detection", model=str(folder))
add("object-detection", folder, schema(inputs=image, threshold=pa.float64()), boxes, {"inputs": pixels, "threshold": [0.1, 0.1]}, boxed([pipe(p, threshold=0.1) for p in pictures]))

tower = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
clip = tf.CLIPConfig(text_config=dict(vocab_size=len(WORDS), max_position_embeddings=64, eos_token_id=4, bos_token_id=5, pad_token_id=0, **tower), vision_config=dict(image_size=32, patch_size=16, **tower), projection_dim=8)
folder = store("clip", tf.CLIPModel(clip), tokenizer(False), tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}))
pipe = tf.pipeline("zero-shot-image-classification", model=str(folder))
answers = [pipe(p, candidate_labels=chosen, hypothesis_template="this is {}") for p in pictures]
add("zero-shot-image-classification", folder, schema(inputs=image, candidate_labels=two_strings, hypothesis_template=text), schema(score=two_floats, label=two_strings),
    {"inputs": pixels, "candidate_labels": [chosen] * 2, "hypothesis_template": ["this is {}"] * 2}, {k: [[a[k] for a in row] for row in answers] for k in ("score", "label")})

owl = tf.OwlViTConfig(text_config=dict(vocab_size=len(WORDS), max_position_embeddings=64, eos_token_id=4, bos_token_id=5, pad_token_id=0, **tower), vision_config=dict(image_size=32, patch_size=16, **tower), projection_dim=16)
folder = store("owl", tf.OwlViTForObjectDetection(owl), tokenizer(False), tf.OwlViTImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False))
pipe = tf.pipeline("zero-shot-object-detection", model=str(folder))
three = ["cat", "dog", "mat"]
answers = [pipe(p, candidate_labels=three, threshold=0.0) for p in pictures]
add("zero-shot-object-detection", folder, schema(images=image, candidate_labels=pa.list_(pa.string(), 3), threshold=pa.float64()), boxes, {"images": pixels, "candidate_labels": [three] * 2, "threshold": [0.0, 0.0]}, boxed(answers))

(FOLDER / "letters.json").write_text(json.dumps({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, **{c: i + 5 for i, c in enumerate("abcdefgh")}}))
speech = tf.Wav2Vec2Config(vocab_size=13, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=[8, 8], conv_stride=[5, 4], conv_kernel=[10, 8], num_feat_extract_layers=2, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)
folder = store("speech", tf.Wav2Vec2ForCTC(speech), tf.Wav2Vec2CTCTokenizer(str(FOLDER / "letters.json"), pad_token="<pad>"), tf.Wav2Vec2FeatureExtractor())
pipe = tf.pipeline("automatic-speech-recognition", model=str(folder))
sounds = random.normal(size=(2, 4000)).astype(np.float32)
answers = [pipe(s, return_timestamps="char") for s in sounds]
add("automatic-speech-recognition", folder, schema(inputs=pa.list_(pa.float32()), return_timestamps=text), schema(text=text, chunks=pa.list_(pa.struct([("text", pa.string()), ("timestamp", pa.list_(pa.float32()))]))),
    {"inputs": sounds, "return_timestamps": ["char", "char"]}, {"text": [a["text"] for a in answers], "chunks": [[{"text": c["text"], "timestamp": list(c["timestamp"])} for c in a["chunks"]] for a in answers]})

import diffusers  # noqa: E402

unet = diffusers.UNet2DConditionModel(block_out_channels=(8, 8), layers_per_block=1, sample_size=16, in_channels=4, out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                                      up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=16, norm_num_groups=2, attention_head_dim=2)
vae = diffusers.AutoencoderKL(block_out_channels=[8, 8], in_channels=3, out_channels=3, down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4, norm_num_groups=2)
encoder = tf.CLIPTextModel(tf.CLIPTextConfig(vocab_size=1000, max_position_embeddings=77, **tower))
byte_words = {**{c: i for i, c in enumerate([chr(c) for c in range(33, 127)])}, **{chr(c) + "</w>": 94 + i for i, c in enumerate(range(33, 127))}, "<|startoftext|>": 188, "<|endoftext|>": 189}
(FOLDER / "vocab.json").write_text(json.dumps(byte_words))
(FOLDER / "merges.txt").write_text("#version: 0.2\n")
words = tf.CLIPTokenizer(str(FOLDER / "vocab.json"), str(FOLDER / "merges.txt"), model_max_length=77)
pipe = diffusers.StableDiffusionPipeline(vae=vae, text_encoder=encoder, tokenizer=words, unet=unet, scheduler=diffusers.DDIMScheduler(clip_sample=False), safety_checker=None, feature_extractor=None, requires_safety_checker=False)
pipe.save_pretrained(FOLDER / "diffusion")
# Its noise is new each time, so that only the form of the answer can be compared.
shape = pa.list_(pa.list_(pa.list_(pa.int64(), 3), 32), 32)
add("stable-diffusion-text-2-img", FOLDER / "diffusion", schema(prompt=text, height=pa.int64(), width=pa.int64(), num_inference_steps=pa.int64(), guidance_scale=pa.float64(), negative_prompt=text, num_images_per_prompt=text, eta=pa.float64()), schema(images=shape),
    {"prompt": ["a cat"], "height": [32], "width": [32], "num_inference_steps": [2], "guidance_scale": [7.5], "negative_prompt": ["dog"], "num_images_per_prompt": ["1"], "eta": [0.0]}, {"images": np.full((1, 32, 32, 3), 128)}, tolerance=2)
shutil.rmtree(FOLDER / "diffusion")
done()
