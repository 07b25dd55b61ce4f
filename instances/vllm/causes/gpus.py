"""The GPUs: there or not, known to the engine or not, in numbers that fit, and talking to each other."""

from __future__ import annotations

import re
from typing import Any

from .cause import Cause, Groups, divisor_below, whole


def _heads(groups: Groups) -> dict[str, Any]:
    return {"tensor_parallel_size": divisor_below(whole(groups["heads"]), whole(groups["size"]))}


def _parts(groups: Groups) -> dict[str, Any] | None:
    """A size over 64 is not a number of GPUs but of a block of weights."""
    size = whole(groups["size"])
    if not 1 < size <= 64:
        return None
    return {"tensor_parallel_size": divisor_below(whole(groups["number"]), size)}


def _uneven(groups: Groups) -> dict[str, str]:
    size = groups.get("size", "")
    return {"detail": f": {groups['number']} does not divide by {size}" if size else ""}


def _there(groups: Groups) -> dict[str, Any] | None:
    """The largest power of two that is there: most models divide by it."""
    have = whole(groups.get("have") or "0")
    return {"tensor_parallel_size": 1 << have.bit_length() - 1} if have else None


def _there_words(groups: Groups) -> dict[str, str]:
    have = groups.get("have", "")
    return {
        "have_words": f"{have} are there" if have else "there are not that many",
        "asked": groups.get("asked", "") or "more",
    }


def _capability(groups: Groups) -> dict[str, str]:
    """`75` and `DeviceCapability(major=7, minor=5)` as 7.5."""
    least, has = groups["least"], groups["has"]
    if parts := re.search(r"major=(\d+), ?minor=(\d+)", has):
        has = f"{parts[1]}.{parts[2]}"
    return {"least": _dotted(least), "has": _dotted(has)}


def _dotted(text: str) -> str:
    return f"{text[:-1]}.{text[-1]}" if text.isdigit() and len(text) > 1 else text.strip()


def _supported(groups: Groups) -> dict[str, Any]:
    """Another type out of the ones that the method knows; automatic where it names none."""
    names = re.findall(r"torch\.(\w+)", groups.get("others", ""))
    return {"dtype": next((name for name in ("float16", "bfloat16", "float32") if name in names), None)}


GPUS: tuple[Cause, ...] = (
    Cause(
        "driver-mismatch",
        (r"[Dd]river/library version mismatch", r"NVML_ERROR_LIB_RM_VERSION_MISMATCH", r"Error 803: "),
        "The NVIDIA driver and its library are of different versions.",
        "Reboot the machine: the driver was updated while it ran.",
        final=True,
    ),
    Cause(
        "driver-too-old",
        (
            r"NVIDIA driver on your system is too old(?: \(found version (?P<version>\d+)\))?",
            r"CUDA driver version is insufficient for CUDA runtime version",
            r"Error 804: forward compatibility was attempted on non supported HW",
            r"PTX was compiled with an unsupported toolchain|CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
            r"cudaErrorInsufficientDriver",
        ),
        "The NVIDIA driver is too old for this engine.",
        "Update the driver, or use an engine that was built for an older CUDA.",
        final=True,
    ),
    Cause(
        "gpu-not-ready",
        (r"Error 802: system not yet initialized",),
        "The GPUs are not initialised yet.",
        "Start NVIDIA's fabric manager (nvidia-fabricmanager) in the driver's version.",
        final=True,
    ),
    Cause(
        "gpu-not-supported",
        (
            r"(?:^|: )(?P<card>\w[\w .-]{0,60}) with CUDA capability (?P<sm>sm_\d+\w?) is not compatible",
            r"with CUDA capability (?P<sm>sm_\d+\w?) is not compatible",
            r"no kernel image is available for execution on the device",
            r"device kernel image is invalid|cudaErrorNoKernelImageForDevice",
            r"(?i:ptxas) fatal\s*:.*(?P<sm>sm_\d+\w?)",
            r"FlashAttention only supports (?P<only>\w+ GPUs or newer)",
            r"too old to be supported by the triton|Triton only support CUDA Capability",
        ),
        "This engine was not built for this GPU ({card} {sm}).",
        "Use another version of the engine that supports the card, or choose another GPU.",
        final=True,
        derive=lambda groups: {
            "card": groups.get("card", "").strip(),
            "sm": groups.get("sm", "") or groups.get("only", ""),
        },
    ),
    Cause(
        "quantization-needs-newer-gpu",
        (
            r"[Qq]uantization method (?P<method>.+?) is not supported for the current GPU\. "
            r"Minimum capability: (?P<least>\d+)\. Current capability: (?P<has>.+?)\.?(?: \[type=.*)?$",
        ),
        "The quantization {method} needs a GPU of compute capability {least}, and this one has {has}.",
        "Choose another GPU, or the model in another quantization.",
        final=True,
        derive=_capability,
    ),
    Cause(
        "quantization-needs-newer-gpu",
        (
            r"type (?P<method>fp8\w+) not supported in this architecture",
            r"\b(?P<method>\w+) quantization is currently not supported in (?P<platform>\w+)",
            r"Failed to find a kernel that can implement the (?P<method>\w+) linear layer",
        ),
        "This GPU or processor cannot compute {method}.",
        "Choose another GPU, or the model in another quantization or data type.",
        final=True,
    ),
    Cause(
        "bfloat16-not-supported",
        (
            r"[Bb]float16 is only supported on GPUs with compute capability of at least [\d.]+\d"
            r"(?:.*?Your (?P<card>.+?) GPU (?:has compute capability (?P<has>\d+\.\d+))?)?",
        ),
        "This GPU ({card}{capability}) cannot compute in bfloat16.",
        "Set the data type to float16.",
        final=True,
        derive=lambda groups: {"capability": f", {groups['has']}" if groups.get("has") else ""},
        change={"dtype": "float16"},
    ),
    Cause(
        "data-type-not-supported",
        (
            r"[Tt]he model type (?P<type>\S+) does not support (?P<dtype>\w+)\. Reason: (?P<why>.+)",
            r"(?P<dtype>torch\.\w+) is not supported for (?P<type>quantization method \w+)"
            r"(?:\. Supported dtypes: (?P<others>.+))?",
        ),
        "{type} cannot be computed in {dtype}.",
        "Set the data type to auto, or to one that the model supports.",
        final=True,
        change=_supported,
    ),
    Cause(
        "no-gpu",
        (
            r"Failed to infer device type",
            r"No (?:CUDA|HIP) GPUs are available",
            r"[Nn]o CUDA-capable device is detected",
            r"Found no NVIDIA driver on your system",
            r"Device string must not be empty",
            r"libcuda\.so(?:\.\d+)?: cannot open shared object file",
            r"NVMLError_(?:LibraryNotFound|DriverNotLoaded)|NVML Shared Library Not Found",
            r"Torch not compiled with CUDA enabled",
            r"CUDA unknown error - this may be due to an incorrectly set up environment",
        ),
        "The engine found no GPU that it can use.",
        "See whether nvidia-smi works for the console's user (a container needs --gpus); on a machine "
        "without a GPU use the CPU engine.",
        final=True,
    ),
    Cause(
        "gpu-busy",
        (r"CUDA-capable device\(s\) is/are busy or unavailable",),
        "Another program has the GPU for itself alone.",
        "End that program, choose another GPU, or set the compute mode to default (nvidia-smi -c 0).",
    ),
    Cause(
        "cuda-after-fork",
        (r"Cannot re-initialize CUDA in forked subprocess",),
        "The engine's processes were started in a way that CUDA does not allow.",
        "Set VLLM_WORKER_MULTIPROC_METHOD to spawn.",
        final=True,
        change={"env": {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}},
    ),
    Cause(
        "heads-do-not-divide",
        (
            r"attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size \((?P<size>\d+)\)",
            r"num_heads (?P<heads>\d+) is not divisible by tp_size (?P<size>\d+)",
        ),
        "The model's {heads} attention heads cannot be shared out evenly over {size} GPUs.",
        "Set tensor parallel to {fits}, or another number that divides {heads}.",
        final=True,
        derive=lambda groups: {"fits": str(_heads(groups)["tensor_parallel_size"])},
        change=_heads,
    ),
    Cause(
        "does-not-divide",
        (
            r"(?P<number>\d+) is not divisible by (?P<size>\d+)",
            r"(?P<number>\d+) is not divisible by (?:[a-z_ ]+)(?:= ?)?(?P<size>\d+)",
            r"must be divisible by (?:the )?(?:tensor.parallel|tp_size|TP|world size)",
        ),
        "The model cannot be shared out evenly over these GPUs{detail}.",
        "Set tensor parallel to another number, usually a smaller one.",
        final=True,
        derive=_uneven,
        change=lambda groups: _parts(groups) if groups.get("size") else None,
    ),
    Cause(
        "too-few-gpus",
        (
            r"[Ww]orld size \((?P<asked>\d+)\) is larger than the number of available GPUs \((?P<have>\d+)\)",
            r"[Tt]ensor parallel size \((?P<asked>\d+)\) (?:cannot be larger than|exceeds) the number of "
            r"available GPUs \((?P<have>\d+)\)",
            r"tensor_parallel_size \((?P<asked>\d+)\) to less than max local gpu count \((?P<have>\d+)\)",
            r"[Ww]orld size \((?P<asked>\d+)\) is larger than the number of available GPUs",
            r"number of required GPUs exceeds the total number of available GPUs",
        ),
        "The configuration asks for {asked} GPUs, and {have_words}.",
        "Lower tensor parallel to the number of GPUs that are there.",
        final=True,
        derive=_there_words,
        change=_there,
    ),
    Cause(
        "gpu-not-there",
        (r"invalid device ordinal", r"local rank \d+ is out of bounds", r"Invalid device id"),
        "The configuration uses more GPUs than are there, or one that is not.",
        "Choose GPUs that are there, and no more of them by tensor parallel.",
        final=True,
    ),
    Cause(
        "gpu-used-twice",
        (r"Duplicate GPU detected",),
        "Two of the engine's processes were put on the same GPU.",
        "Choose as many GPUs as tensor parallel asks for.",
        final=True,
    ),
    Cause(
        "shared-memory-too-small",
        (
            r"shared memory segment \S*/dev/shm",
            r"/dev/shm.*No space left",
            r"No space left on device.*/dev/shm",
            r"NCCL WARN.*posix_fallocate failed",
            r"shmutils\.cc:\d+ NCCL WARN",
            r"insufficient shared memory|out of shared memory",
            r"shared memory object <?/?[\w.-]+>?.*No space left",
            r"Call to posix_fallocate failed",
        ),
        "Shared memory (/dev/shm) is too small for the engine's processes to talk to each other.",
        "Give more of it (in a container --shm-size or --ipc=host; in Kubernetes an emptyDir with medium "
        "Memory), or use fewer GPUs.",
    ),
)
