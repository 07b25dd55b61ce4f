"""What is known to end an engine: the lines that prove it, the sentence for a person, and what to change.

Adding a cause is one entry in CAUSES. The first entry that finds its line wins, so the special stand before
the general. `cause` and `advice` are format strings over the pattern's named groups; a group that took no
part reads as an empty text. Patterns see a line without its prefixes, and neither quoted source code nor
lines of level INFO or WARNING, which give advice in the same words as errors do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    code: str
    patterns: tuple[str, ...]
    cause: str
    advice: str
    final: bool = False  # the same start would fail in the same way
    phases: tuple[str, ...] = ()  # only when the engine ended in one of these
    any_level: bool = False  # the proof is a line of level INFO or WARNING
    derive: Callable[[Mapping[str, str]], dict[str, str]] | None = None  # further words from the groups


def _thousands(groups: Mapping[str, str]) -> dict[str, str]:
    """Whole numbers of tokens, easier to read."""
    return {name: f"{int(text):,}" for name, text in groups.items() if text.isdigit()}


def _share_left(groups: Mapping[str, str]) -> dict[str, str]:
    """From GiB free and in all: what others hold, and the largest share that is free (rounded down)."""
    free, total = float(groups["free"]), float(groups["total"])
    return {"held": f"{total - free:.1f}", "largest": f"{int(free / total * 100) / 100:.2f}"}


_OUT_OF_MEMORY = (
    r"(?:torch\.(?:cuda\.)?)?OutOfMemoryError: .*out of memory",
    r"(?:RuntimeError|AcceleratorError): (?:CUDA|HIP) (?:error: )?out of memory",
)
_EARLY = ("", "import", "download", "weights")  # later the hub is asked for nothing that the engine needs
_MODEL_NAME_ADVICE = "Check the model's name; for a local model give a folder inside the model roots."

CAUSES: tuple[Cause, ...] = (
    # The command itself
    Cause(
        "cannot-execute",
        (r"(?:could not|cannot|can't) (?:start|run|execute) (?P<what>\S+?): (?P<why>.+)",),
        "The engine's command {what} could not be started: {why}.",
        "Check that the engine is installed and that this user may execute it.",
        final=True,
    ),
    Cause(
        "unknown-flag",
        (r"error: unrecognized arguments: (?P<flag>[^\s=]+)",),
        "This version of vLLM does not know {flag}.",
        "Remove it, or use the name that this version has for it.",
        final=True,
    ),
    Cause(
        "ambiguous-flag",
        (r"error: ambiguous option: (?P<flag>[^\s=]+)\S* could match (?P<choices>.+)",),
        "{flag} is short for several flags: {choices}.",
        "Write the flag's whole name.",
        final=True,
    ),
    Cause(
        "bad-choice",
        (
            r"error: argument (?P<flag>[^\s:]+): invalid choice: (?P<value>.+?) "
            r"\(choose from (?P<choices>.+)\)",
        ),
        "{flag} cannot be {value}.",
        "Choose one of {choices}.",
        final=True,
    ),
    Cause(
        "not-json",
        (r"error: argument (?P<flag>[^\s:]+): Value (?P<value>.+) cannot be converted to <function loads",),
        "{flag} wants JSON, and {value} is not.",
        'Write it as JSON, such as {{"image": 4}}, with double quotes.',
        final=True,
    ),
    Cause(
        "bad-value",
        (r"error: argument (?P<flag>[^\s:]+): (?P<why>.+)",),
        "{flag} was not accepted: {why}.",
        "Correct the value, or remove the flag.",
        final=True,
    ),
    # GPU memory
    Cause(
        "memory-held-by-others",
        (
            r"Free memory on device.*\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less than "
            r"desired GPU memory utilization \((?P<share>[\d.]+)",
        ),
        "Others already use {held} of the GPU's {total} GiB, so a memory share of {share} cannot be taken.",
        "Stop what else uses the GPU, choose another GPU, or lower the memory share to {largest} or less.",
        derive=_share_left,
    ),
    Cause(
        "context-too-long",
        (
            r"max seq len \((?P<asked>\d+)\), \([\d.]+ GiB KV cache is needed.*"
            r"estimated maximum model length is (?P<fits>\d+)",
            r"max seq len \((?P<asked>\d+)\) is larger than the maximum number of tokens "
            r"that can be stored in KV cache \((?P<fits>\d+)\)",
        ),
        "A context of {asked} tokens does not fit into the KV cache; about {fits} tokens do.",
        "Set the context length to {fits} or less, or give the engine more memory.",
        final=True,
        derive=_thousands,
    ),
    Cause(
        "context-too-long",
        (
            r"max seq len \((?P<asked>\d+)\), \((?P<need>[\d.]+) GiB KV cache is needed, which is larger "
            r"than the available KV cache memory \((?P<have>[\d.]+) GiB\)",
        ),
        "A context of {asked} tokens needs {need} GiB of KV cache, and {have} GiB are there.",
        "Set a shorter context length, or give the engine more memory.",
        final=True,
        derive=_thousands,
    ),
    Cause(
        "no-room-for-cache",
        (r"ValueError: No available memory for the cache blocks",),
        "The weights fit, but nothing of the memory share is left for the KV cache.",
        "Raise the memory share if more is free, or choose a smaller model, fewer sequences or eager mode; "
        "a shorter context alone does not help.",
        final=True,
    ),
    Cause(
        "out-of-memory-graphs",
        _OUT_OF_MEMORY,
        "GPU memory ran out while CUDA graphs were captured.",
        "Lower the memory share a little, or use eager mode (enforce-eager).",
        phases=("graphs",),
    ),
    Cause(
        "out-of-memory-weights",
        _OUT_OF_MEMORY,
        "GPU memory ran out while the weights were loaded.",
        "Use more GPUs (tensor parallel), or a smaller or quantised model; "
        "neither a lower memory share nor a shorter context helps here.",
        phases=("import", "download", "weights"),
    ),
    Cause(
        "out-of-memory-sequences",
        (r"out of memory occurred when warming up sampler with (?P<count>\d+) dummy requests",),
        "GPU memory ran out while {count} sequences were tried at once.",
        "Lower max-num-seqs or the memory share.",
    ),
    Cause(
        "out-of-memory",
        _OUT_OF_MEMORY,
        "GPU memory ran out.",
        "Lower the context length or max-num-seqs, use more GPUs, or choose a smaller or quantised model.",
    ),
    Cause(
        "host-memory",
        (
            r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes",
            r"OSError: \[Errno 12\] Cannot allocate memory",
            r"^MemoryError\b",
            r"Out of memory: Killed process",
        ),
        "The machine's memory (RAM) ran out.",
        "Choose a smaller model or a smaller KV cache, or stop what else uses the memory.",
    ),
    # GPUs
    Cause(
        "no-gpu",
        (
            r"RuntimeError: Failed to infer device type",
            r"No CUDA GPUs are available",
            r"Found no NVIDIA driver on your system",
            r"libcuda\.so(?:\.\d+)?: cannot open shared object file",
        ),
        "The engine found no GPU that it can use.",
        "See whether nvidia-smi works for the console's user; on a machine without a GPU use the CPU engine.",
        final=True,
    ),
    Cause(
        "bfloat16-not-supported",
        (r"Bfloat16 is only supported on GPUs with compute capability of at least .*Your (?P<card>.+?) GPU",),
        "This GPU ({card}) cannot compute in bfloat16.",
        "Set the data type to float16.",
        final=True,
    ),
    Cause(
        "data-type-not-supported",
        (
            r"The model type (?P<type>\S+) does not support (?P<dtype>\w+)\. Reason: (?P<why>.+)",
            r"(?P<dtype>torch\.\w+) is not supported for (?P<type>quantization method \w+)",
        ),
        "{type} cannot be computed in {dtype}.",
        "Set the data type to auto, or to one that the model supports.",
        final=True,
    ),
    Cause(
        "heads-do-not-divide",
        (r"attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size \((?P<size>\d+)\)",),
        "The model's {heads} attention heads cannot be shared out evenly over {size} GPUs.",
        "Set tensor parallel to a number that divides {heads}.",
        final=True,
    ),
    Cause(
        "does-not-divide",
        (r"AssertionError: (?P<number>\d+) is not divisible by (?P<size>\d+)",),
        "The model cannot be shared out evenly: {number} does not divide by {size}.",
        "Set tensor parallel to another number.",
        final=True,
    ),
    Cause(
        "too-few-gpus",
        (
            r"World size \((?P<asked>\d+)\) is larger than the number of available GPUs",
            r"tensor_parallel_size \((?P<asked>\d+)\) to less than max local gpu count",
        ),
        "The configuration asks for {asked} GPUs, and there are not that many.",
        "Lower tensor parallel to the number of GPUs that are there.",
        final=True,
    ),
    Cause(
        "shared-memory-too-small",
        (r"shared memory segment \S*/dev/shm.*No space left", r"/dev/shm.*No space left on device"),
        "Shared memory (/dev/shm) is too small for the engine's processes to talk to each other.",
        "Give more of it (in a container --shm-size or --ipc=host), or use fewer GPUs.",
    ),
    Cause(
        "gpus-not-connected",
        (r"NCCL error: ",),
        "The GPUs could not connect to each other; the log does not say why.",
        "Often /dev/shm is too small or a network interface is in the way; NCCL_DEBUG=INFO tells more.",
    ),
    Cause(
        "gpu-fault",
        (
            r"CUDA error: (?P<what>an illegal memory access was encountered|unspecified launch failure"
            r"|device-side assert triggered|misaligned address|uncorrectable ECC error encountered)",
        ),
        "The GPU's program crashed ({what}).",
        "Start it again. If it happens again: eager mode, no speculative decoding, or another version; "
        "a line with NVRM: Xid in the kernel log points at the hardware.",
    ),
    # The model
    Cause(
        "gated-model",
        (
            r"Access to model (?P<model>\S+) is restricted",
            r"Repo model (?P<model>\S+) is gated",
            r"Cannot access gated repo for url (?P<url>\S+)",
            r"You are trying to access a gated repo",
            r"GatedRepoError",
        ),
        "The model is gated, and no valid token with access to it was sent.",
        "Accept its licence on the model's page, then start the console with HF_TOKEN set.",
        final=True,
        phases=_EARLY,
    ),
    Cause(
        "token-refused",
        (r"Invalid user token|Invalid username or password|Invalid credentials in Authorization header",),
        "The Hugging Face hub refused the token.",
        "Set HF_TOKEN to a valid token, or take it away for public models.",
        final=True,
        phases=_EARLY,
    ),
    Cause(
        "not-downloaded",
        (r"OfflineModeIsEnabled", r"outgoing traffic has been disabled", r"offline mode is enabled"),
        "The model is not on this machine, and the engine runs in offline mode.",
        "Download the model first, or take HF_HUB_OFFLINE away.",
        final=True,
        phases=_EARLY,
    ),
    Cause(
        "model-not-found",
        (
            r"HFValidationError: Repo id must .*?: '(?P<model>[^']+)'",
            r"OSError: (?P<model>\S+) is not a local folder and is not a valid model identifier",
        ),
        "{model} is neither a folder on this machine nor a model of the Hugging Face hub.",
        _MODEL_NAME_ADVICE,
        final=True,
        phases=_EARLY,
    ),
    Cause(
        "model-not-found",
        (
            r"RepositoryNotFoundError",
            r"Repository Not Found for url",
            r"404 Client Error",
            r"Invalid repository ID or local directory specified",
        ),
        "The model was not found.",
        _MODEL_NAME_ADVICE + " A private model needs a token.",
        final=True,
        phases=_EARLY,
    ),
    Cause(
        "model-incomplete",
        (
            r"does not appear to have a file named (?P<file>\S+?)\.?(?: |$)",
            r"Cannot find any model weights with",
            r"FileNotFoundError: .*/(?P<file>config\.json|[\w.-]+\.safetensors)'",
        ),
        "A file of the model is missing: {file}.",
        "Download the model again, or choose its complete folder.",
        final=True,
    ),
    Cause(
        "weights-damaged",
        (r"SafetensorError: (?P<why>.+)",),
        "A weights file of the model is damaged or was cut short while downloading.",
        "Delete the model's files and download them again; if it is still damaged, its source is.",
        final=True,
    ),
    Cause(
        "remote-code",
        (
            r"contains custom code which must be executed",
            r"requires you to execute the \w+ file in that repo",
            r"set(?:ting)?(?: the option)? `trust_remote_code=True`",
        ),
        "The model brings its own Python code, which was not allowed to run.",
        "Allow remote code if you trust its publisher, or choose another model.",
        final=True,
    ),
    Cause(
        "model-type-unknown",
        (r"model type .(?P<type>[\w.-]+). but Transformers does not recognize",),
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
        ),
        "This version of vLLM cannot serve models of the kind {type}.",
        "Choose another model, or another version of the engine.",
        final=True,
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
        derive=_thousands,
    ),
    Cause(
        "hub-unreachable",
        (
            r"We couldn't connect to '(?P<host>[^']+)'",
            r"LocalEntryNotFoundError",
            r"Temporary failure in name resolution|Name or service not known",
            r"Network is unreachable",
            r"Max retries exceeded with url",
        ),
        "The Hugging Face hub could not be reached, and the model is not on this machine.",
        "Check the network and proxy, or choose a model that is already here.",
        phases=_EARLY,
    ),
    # The machine
    Cause(
        "port-in-use",
        (r"\[Errno 98\]", r"EADDRINUSE|[Aa]ddress already in use"),
        "The port is already in use by another program.",
        "Leave the port empty, or choose another one.",
    ),
    Cause(
        "disk-full",
        (r"No space left on device", r"\[Errno 28\]", r"Disk quota exceeded"),
        "The disk is full.",
        "Free some space; models, caches and logs lie in the data folder and in the Hugging Face cache.",
    ),
    Cause(
        "too-many-files",
        (r"OSError: \[Errno 24\]",),
        "The engine was not allowed to open more files.",
        "Raise the limit (ulimit -n) of the console's user.",
    ),
    Cause(
        "too-many-processes",
        (r"BlockingIOError: \[Errno 11\]", r"RuntimeError: can't start new thread", r"pthread_create failed"),
        "The engine was not allowed to start more processes or threads.",
        "Raise the limit (ulimit -u, or the container's) or end other programs.",
    ),
    Cause(
        "package-missing",
        (
            r"ModuleNotFoundError: No module named '(?P<package>[^']+)'",
            r"PackageNotFoundError: No package metadata was found for (?P<package>\S+)",
            r"ImportError: (?P<package>.+)",
        ),
        "Something is missing in the engine's installation: {package}.",
        "Install the engine again, or use a version that brings it.",
        final=True,
    ),
    # Ends that are not failures of the model or the machine
    Cause(
        "stopped-from-outside",
        (r"\[shutdown\] API server: shutdown triggered",),
        "Somebody outside the console told the engine to stop.",
        "Start it again; to stop an engine, use the console's Stop.",
        any_level=True,
    ),
)
