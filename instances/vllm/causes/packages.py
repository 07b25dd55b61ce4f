"""The engine's own installation and the libraries of the system below it."""

from __future__ import annotations

from .cause import Cause

PACKAGES: tuple[Cause, ...] = (
    Cause(
        "system-too-old",
        (r"version `?(?P<what>(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)'? not found",),
        "The engine was built for a newer system: {what} is missing.",
        "Use a newer system, a container, or an engine that was built for this one.",
        final=True,
        at_once=True,
    ),
    Cause(
        "library-missing",
        (r"(?P<what>lib[\w.+-]+\.so[\w.]*): cannot open shared object file",),
        "A library is missing: {what}.",
        "Install it, or install the engine again for this machine's GPU and CUDA.",
        final=True,
        at_once=True,
    ),
    Cause(
        "compiler-missing",
        (
            r"Failed to find C compiler",
            r"fatal error: (?P<what>Python\.h|\S+\.h): No such file",
            r"Could not find (?P<what>nvcc)|(?P<file>nvcc): not found",
            r"No such file or directory: '(?:\S*/)?(?P<compiler>gcc|g\+\+|cc|c\+\+|nvcc|ninja)'",
        ),
        "The engine compiles for this machine, and the compiler or its headers are missing: {which}.",
        "Install gcc and Python's headers (and CUDA's nvcc), or use eager mode.",
        final=True,
        at_once=True,
        derive=lambda groups: {
            "which": groups.get("what", "") or groups.get("file", "") or groups.get("compiler", "")
        },
        change={"args": {"enforce-eager": True}},
    ),
    Cause(
        "packages-do-not-fit",
        (
            r"(?P<what>undefined symbol: \S+)",
            r"ImportError: (?P<what>cannot import name '[^']+' from '[^']+')",
            r"(?P<what>operator \S+ does not exist)",
            r"(?P<what>numpy\.dtype size changed|compiled using NumPy 1\.x cannot be run)",
        ),
        "Two of the engine's packages do not go together: {what}.",
        "Install the engine again, in an environment of its own.",
        final=True,
        at_once=True,
    ),
    Cause(
        "package-missing",
        (
            r"ModuleNotFoundError: No module named '(?P<package>[^']+)'",
            r"PackageNotFoundError: No package metadata was found for (?P<package>\S+)",
            r"(?:ImportError|ModuleNotFoundError|ValueError|RuntimeError): [Pp]lease install "
            r"(?P<package>[A-Za-z][\w.-]*)",
            r"[Rr]equires? (?:the )?`?(?P<package>[a-z][\w-]*)`? (?:package |library )?to be installed",
            r"\b(?P<package>[a-z][\w-]*) is not installed\. Please install",
            r"ImportError: (?P<package>.+)",
        ),
        "Something is missing in the engine's installation: {package}.",
        "Install the engine again, or use a version that brings it.",
        final=True,
        at_once=True,
    ),
)
