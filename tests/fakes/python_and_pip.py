"""A Python that only plays `-m venv` and `-m pip install`: quick, offline, and as faulty as a test wants it.

FAKE_CALLS    file that gets one line for each call
FAKE_PIP      file with what pip does, one line "WORD: what", for calls that have WORD among their arguments;
              what is "hang", or text to print before exit code 1. Absent: pip succeeds
FAKE_ANSWER   what the installed `vllm --version` prints; "broken" makes it fail
FAKE_INSTALL  exit code of `-m instances.vllm.install`
"""

import os
import shutil
import sys
import time
from pathlib import Path

arguments = sys.argv[1:]
with open(os.environ["FAKE_CALLS"], "a") as calls:
    print(*arguments, file=calls)

if arguments[:2] == ["-m", "venv"]:
    folder = Path(arguments[-1])
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    (folder / "lib/python3.11/site-packages").mkdir(parents=True)
    for name in ("python", "python3"):
        shutil.copy(sys.argv[0], folder / "bin" / name)
    (folder / "environ").write_text("\n".join(os.environ))
elif arguments[:3] == ["-m", "pip", "install"]:
    knobs = Path(os.environ.get("FAKE_PIP", "/nowhere"))
    for line in knobs.read_text().splitlines() if knobs.exists() else []:
        word, _, what = line.partition(": ")
        if any(word in argument for argument in arguments):
            if what == "hang":
                time.sleep(600)
            print(what)
            sys.exit(1)
    vllm = Path(sys.argv[0]).with_name("vllm")
    answer = os.environ.get("FAKE_ANSWER", "0.32.0+cpu")
    said = "ImportError: libfoo.so; exit 1" if answer == "broken" else answer
    vllm.write_text(
        f"#!/bin/sh\necho 'INFO starting'\necho '{said.partition('; ')[0]}'\n{said.partition('; ')[2]}\n"
    )
    vllm.chmod(0o755)
elif arguments[:2] == ["-m", "instances.vllm.install"]:
    sys.exit(int(os.environ.get("FAKE_INSTALL", "0")))
elif arguments[:2] == ["manage.py", "serve"]:
    print("serving", *arguments[2:])
