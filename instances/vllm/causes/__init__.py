"""What is known to end an engine: the lines that prove it, the sentence for a person, and what to change.

Adding a cause is one entry in one of these lists. The first entry that finds its line wins, so the special
stand before the general. Patterns see a line without its prefixes, and neither quoted source code nor lines of
level INFO or WARNING, which give advice in the same words as errors do. The words are those of vLLM 0.4 to
0.33 and of the libraries that it stands on.
"""

from __future__ import annotations

from .cause import Cause
from .command import COMMAND, REFUSED
from .crashes import CRASHES, GPU_CRASHES
from .gpu_memory import GPU_MEMORY
from .gpus import GPUS
from .hub import HUB
from .machine import MACHINE
from .model import MODEL
from .packages import PACKAGES

CAUSES: tuple[Cause, ...] = (
    *COMMAND,
    *GPU_MEMORY,
    *GPUS,
    *GPU_CRASHES,
    *HUB,
    *MODEL,
    *MACHINE,
    *PACKAGES,
    *CRASHES,
    *REFUSED,
)

__all__ = ["CAUSES", "Cause"]
