import subprocess
import sys

import pytest

HEAPS = """
import ctypes, sys, threading
from llmops.memory import keep_small
if sys.argv[1] == "small":
    keep_small()
held = threading.Barrier(5)
def work():
    kept = [ctypes.create_string_buffer(2000) for _ in range(200)]
    held.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for one in threads: one.start()
held.wait()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.parametrize(("how", "heaps"), [("small", 1), ("as it is", None)])
def test_threads_share_one_heap(how: str, heaps: int | None) -> None:
    said = subprocess.run(
        [sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True
    ).stderr.count("Arena ")
    assert said == heaps if heaps else said > 1
