"""The model's files: complete, sound, of a kind that the engine serves."""

from __future__ import annotations

from typing import Any

from .cause import Cause, Groups, thousands, whole

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that max-lora-rank may be (vllm/config/lora.py)


def _rank(groups: Groups) -> dict[str, Any] | None:
    rank = next((one for one in RANKS if one >= whole(groups["rank"])), None)
    return {"args": {"max-lora-rank": rank}} if rank else None


MODEL: tuple[Cause, ...] = (
    Cause(
        "remote-code",
        (
            r"(?:contains|references) custom code",
            r"requires you to execute (?:the \w+ file|custom code|some code)",
            r"requires to execute some code in that repo",
            r"set(?:ting)?(?: the option)? `?trust_remote_code=True`?",
            r"pass the argument `trust_remote_code=True`",
        ),
        "The model brings its own Python code, which was not allowed to run.",
        "Allow remote code if you trust its publisher, or choose another model.",
        final=True,
        change={"trust_remote_code": True},
    ),
    Cause(
        "model-type-unknown",
        (
            r"model type .(?P<type>[\w.-]+). but Transformers does not recogni[sz]e",
            r"Transformers does not recogni[sz]e this architecture",
            r"Unrecognized configuration class <class '[\w.]*?(?P<type>\w+)'>",
        ),
        "This engine's transformers library does not know the model type {type}.",
        "Use a newer version of the engine.",
        final=True,
    ),
    Cause(
        "architecture-not-supported",
        (
            r"Model architectures? (?P<type>\[.+?\]|\S+) (?:are|is) not supported",
            r"Model architectures (?P<type>\[.+?\]) failed to be inspected",
            r"Model architecture (?P<type>\S+) was supported in vLLM until",
            r"Cannot find model module\. '(?P<type>\w+)' is not a registered model",
            r"The Transformers implementation of '(?P<type>\w+)' is not compatible with vLLM",
            r"\b(?P<type>\w+) has no vLLM implementation and the Transformers implementation is not compatible",
        ),
        "This version of vLLM cannot serve models of the kind {type}.",
        "Choose another model, or another version of the engine.",
        final=True,
    ),
    Cause(
        "model-type-missing",
        (
            r"Unrecognized model in (?P<model>\S+?)\. Should have a `?model_type",
            r"should have a `model_type` key",
        ),
        "The model's config.json does not say what kind of model it is.",
        "Choose a folder that holds a whole model in Hugging Face's format.",
        final=True,
    ),
    Cause(
        "model-incomplete",
        (
            r"does not appear to have (?:a file|files) named (?P<file>\(.+?\)|\S+?)\.?(?: |$)",
            r"Cannot find any (?:safetensors )?model weights with",
            r"Weight files referenced in index but missing: (?P<file>.+)",
            r"Can't find a checkpoint index \((?P<file>[^)]+)\)",
            r"FileNotFoundError: .*/(?P<file>config\.json|[\w.-]+\.(?:safetensors|bin|gguf|json))'",
            r"No such file or directory: ['\"]?\S*?/?(?P<file>config\.json|[\w.-]+\.(?:safetensors|gguf))",
            r"Error no file named (?P<file>\S+?),? ",
        ),
        "A file of the model is missing: {file}.",
        "Download the model again, or choose its complete folder.",
        final=True,
    ),
    Cause(
        "weights-are-pointers",
        (
            r"SafetensorError: .*(?:HeaderTooLarge|header too large)",
            r"invalid load key, 'v'",
            r"cloned a repository without having git-lfs",
        ),
        "A weights file of the model holds no weights; often it is only a Git LFS pointer of some 130 bytes.",
        "Run git lfs pull in its folder, or delete the model's files and download them again.",
        final=True,
    ),
    Cause(
        "weights-damaged",
        (
            r"SafetensorError: (?P<why>.+)",
            r"MetadataIncompleteBuffer|InvalidHeader|HeaderTooSmall|HeaderTooLarge",
            r"PytorchStreamReader failed|invalid header or archive is corrupted|unexpected EOF, expected \d+ more",
            r"UnpicklingError: invalid load key",
            r"Consistency check failed: file should be of size",
            r"GGUF magic invalid|not a valid GGUF",
            r"Unable to load weights from pytorch checkpoint file",
            r"config file at '(?P<file>[^']+)' is not a valid JSON file",
        ),
        "A weights file of the model is damaged or was cut short while downloading.",
        "Delete the model's files and download them again; if it is still damaged, its source is.",
        final=True,
    ),
    Cause(
        "weights-do-not-fit",
        (
            r"Attempted to load weight \(.*\) into parameter",
            r"size mismatch for \S+: copying a param",
            r"Following weights were not initialized from checkpoint: (?P<which>.+)",
            r"There is no module or parameter named (?P<which>\S+)",
            r"loaded_weight\.shape|param(?:_data)?\.shape == loaded_weight",
        ),
        "The model's weights are not those that its config.json describes, or not as this engine knows them.",
        "Take the weights and config.json from the same source, or use another version of the engine.",
        final=True,
    ),
    Cause(
        "tokenizer",
        (
            r"Can't load tokenizer for '(?P<model>[^']+)'",
            r"Tokenizer class (?P<model>\S+) does not exist",
            r"Couldn't instantiate the backend tokenizer",
            r"untagged enum (?:ModelWrapper|PreTokenizerWrapper|DecoderWrapper)",
            r"could not parse ModelProto",
            r"Failed to load the tokenizer",
        ),
        "The model's tokenizer could not be loaded.",
        "See that its tokenizer files are complete, or name another one by the flag tokenizer.",
        final=True,
    ),
    Cause(
        "quantization-mismatch",
        (
            r"specified in the model config \((?P<model>[\w.-]+)\) does not match the quantization method "
            r"specified in the `quantization` argument \((?P<asked>[\w.-]+)\)",
        ),
        "The model was quantised with {model}, and the configuration asks for {asked}.",
        "Leave the quantization empty: the model says it itself.",
        final=True,
        change={"quantization": None},
    ),
    Cause(
        "quantization-unknown",
        (
            r"Unknown quantization method: (?P<asked>\S+?)\.",
            r"Cannot find the config file for (?P<asked>\w+)",
            r"Invalid quantization method: (?P<asked>\S+)",
        ),
        "The quantization {asked} does not go with this model or this engine.",
        "Leave the quantization empty: the model says it itself.",
        final=True,
        change={"quantization": None},
    ),
    Cause(
        "context-beyond-model",
        (
            r"User-specified max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len "
            r"\(\w+=(?P<limit>\d+)",
        ),
        "A context of {asked} tokens is more than the model was made for ({limit}).",
        "Set the context length to {limit} or less, or leave it automatic.",
        final=True,
        derive=thousands,
        change=lambda groups: {"max_model_len": whole(groups["limit"])},
    ),
    Cause(
        "lora-rank",
        (r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank (?P<most>\d+)",),
        "The LoRA adapter's rank of {rank} is more than {most}.",
        "Raise max-lora-rank to {rank} or more.",
        final=True,
        change=_rank,
    ),
    Cause(
        "lora",
        (
            r"[Nn]o adapter found for (?P<which>\S+)",
            r"\b(?P<which>\w+) does not support LoRA\b",
            r"Loading lora (?P<which>\S+) failed",
            r"While loading (?P<which>\S+), expected target modules",
            r"LoRAAdapterNotFoundError",
        ),
        "A LoRA adapter cannot be used: {which}.",
        "Check its path, and that it was made for this model.",
        final=True,
    ),
)
