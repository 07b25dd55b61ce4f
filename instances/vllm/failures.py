"""Why an installation gave up, in words, out of what pip and the others said."""

import platform
import re
import signal

SPACE = "Free some space, or set LLMOPS_ENGINES to a folder on a larger disk."
# What pip's output means; the first that fits counts.
CAUSES: tuple[tuple[str, str, str], ...] = (
    (r"No space left on device", "the disk is full", SPACE),
    (
        r"Permission denied|Read-only file system",
        "a folder cannot be written",
        "Mend its permissions, or set LLMOPS_ENGINES to a folder of yours.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "the certificate of the package index is not trusted",
        "Set PIP_CERT to the certificates of your network.",
    ),
    (
        r"Failed to establish a new connection|connection broken by|Temporary failure in name resolution"
        r"|Max retries exceeded|Read timed out|ProxyError|IncompleteRead",
        "the package index could not be reached",
        "Check the network or the proxy.",
    ),
    (
        r"HTTP error \d+",
        "the package index refused a file",
        "Try again later, or set PIP_INDEX_URL to another index.",
    ),
    (
        r"No matching distribution found",
        f"a package is not offered for Python {platform.python_version()} on {platform.machine()}",
        "Use another Python (3.11 to 3.13), or set LLMOPS_VLLM to a vLLM of your own.",
    ),
    (
        r"ResolutionImpossible",
        "its packages exclude each other",
        "Choose another version.",
    ),
)
UNOFFERED = re.compile(r"No matching distribution found for ([\w.-]+==\S+)")


class Failed(Exception):
    """An attempt gave up: what happened and how to mend it, in sentences, and what the failed program said.

    `is_final`: another attempt would end the same way.
    """

    def __init__(self, reason: str, mend: str = "", said: str = "", *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.mend = mend
        self.said = said
        self.is_final = is_final

    @property
    def unoffered(self) -> str:
        """The requirement that the package index does not have, as in `torch==2.13.0+cpu`; else empty."""
        found = UNOFFERED.search(self.said)
        return found[1] if found else ""


def cause(said: str, code: int) -> Failed:
    """The failure of a program by its output and exit code."""
    for pattern, words, mend in CAUSES:
        if re.search(pattern, said):
            return Failed(f"The engine's installation failed: {words}.", mend, said)
    if code < 0:
        return Failed(f"The engine's installation failed: {signal.Signals(-code).name} ended it.")
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), f"exit code {code}")
    words = last.removeprefix("ERROR: ").rstrip(".")
    return Failed(f"The engine's installation failed: {words}.", said=said)
