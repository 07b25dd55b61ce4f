"""The engine's program crashed, hung or was ended by somebody; what broke it is often not in the log."""

from __future__ import annotations

from .cause import Cause

AGAIN = "Start it again; if it comes back, try eager mode or another version of the engine."

GPU_CRASHES: tuple[Cause, ...] = (
    Cause(
        "gpu-hardware",
        (
            r"CUDA error: (?P<what>uncorrectable (?:ECC|NVLink) error[\w ]*)",
            r"(?P<what>GPU has fallen off the bus)",
            r"(?P<what>GPU is lost)",
            r"NVRM: Xid \([^)]*\): (?P<what>(?:48|63|64|74|79|94|95|119|120|140)\b)",
        ),
        "The GPU failed ({what}).",
        "Reset the GPU or reboot the machine; if it comes back, the card has to be looked at.",
    ),
    Cause(
        "gpu-fault",
        (
            r"(?:CUDA|HIP) error: (?P<what>an illegal memory access was encountered|unspecified launch failure"
            r"|device-side assert triggered|misaligned address|an illegal instruction was encountered"
            r"|invalid program counter|hardware stack error|the launch timed out and was terminated"
            r"|unknown error)",
            r"(?P<what>CUBLAS_STATUS_\w+|CUDNN_STATUS_\w+|cudaErrorIllegalAddress|cudaErrorAssert)",
            r"(?P<what>Memory access fault by GPU node-\d+)",
            r"Cuda failure(?: \d+)? '(?P<what>an illegal memory access was encountered"
            r"|unspecified launch failure)",
        ),
        "The GPU's program crashed ({what}).",
        "Start it again. If it happens again: eager mode, no speculative decoding, or another version; "
        "a line with NVRM: Xid in the kernel log points at the hardware.",
    ),
)

CRASHES: tuple[Cause, ...] = (
    Cause(
        "worker-timed-out",
        (
            r"RPC call to (?P<call>\w+) timed out",
            r"Watchdog caught collective operation timeout",
            r"Timed out waiting for (?:new )?engine core processes",
            r"(?:engine core|Engine core).{0,40}did not (?:start|become ready)",
        ),
        "One of the engine's processes did not answer the others in time.",
        "Start it again; with several GPUs, NCCL_P2P_DISABLE=1 shows whether they cannot reach each other, "
        "and a busy or slow machine needs longer.",
    ),
    Cause(
        "gpus-not-connected",
        (
            r"NCCL error[:\s]",
            r"ncclSystemError|ncclInternalError|ncclRemoteError|ncclUnhandledCudaError",
            r"DistBackendError",
        ),
        "The GPUs could not connect to each other; the log does not say why.",
        "Often /dev/shm is too small (df /dev/shm tells) or a network interface is in the way; "
        "NCCL_DEBUG=INFO tells more.",
    ),
    Cause(
        "processes-not-connected",
        (r"\b[Gg]loo\b.*(?:failed|timed out|refused|[Uu]nable)", r"DistNetworkError|DistStoreError"),
        "The engine's processes could not connect to each other over the network.",
        "Set VLLM_HOST_IP to an address of this machine, and GLOO_SOCKET_IFNAME to its interface.",
    ),
    Cause(
        "cpu-not-supported",
        (r"^(?:.*: )?(?:line \d+: +\d+ )?Illegal instruction\b", r"Fatal Python error: Illegal instruction"),
        "The processor does not know an instruction that the engine uses.",
        "Use a build of the engine for this processor (often AVX-512 or AVX2 is what it lacks).",
        final=True,
    ),
    Cause(
        "crashed",
        (
            r"Fatal Python error: (?P<what>\w[\w ]*)",
            r"!+ (?P<what>Segfault) encountered !+",
            r"^(?:.*: )?(?:line \d+: +\d+ )?(?P<what>Segmentation fault|Bus error|Aborted)(?: +\(core dumped\)|$)",
            r"\*\*\* (?P<what>SIG\w+) \(@",
        ),
        "The engine's program crashed ({what}).",
        AGAIN,
    ),
    Cause(
        "killed",
        (
            r"exited with code 137\b|code=killed, status=9/KILL|terminated with signal SIGKILL",
            r"^(?:.*: )?(?:line \d+: +\d+ )?Killed(?: |$)",
        ),
        "The engine was killed from outside (SIGKILL); its log does not say by whom.",
        "If memory was short, the kernel may have done it: its log (dmesg, journalctl -k) says so then.",
    ),
    Cause(
        "stopped-from-outside",
        (r"\[shutdown\] API server: shutdown triggered", r"[Rr]eceived (?:signal )?(?:SIGTERM|SIGINT|15\b)"),
        "Somebody outside the console told the engine to stop.",
        "Start it again; to stop an engine, use the console's Stop.",
        any_level=True,
    ),
)
