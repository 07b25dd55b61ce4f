"""A plug-in that vLLM loads into each process of an engine on a CPU; this folder is on the engine's PYTHONPATH.

vLLM 0.32 uses AMX tiles wherever the processor has them, but Linux gives the tile registers only to a process that
asked for them (Documentation/arch/x86/xstate.rst), and vLLM leaves that to oneDNN, which a small model never calls.
Then the first request ends with an illegal instruction. Seen on a Xeon of family 6, model 207.
"""


def ask_for_tiles() -> None:
    """Once for the whole process; where there are no such registers, nothing happens."""
    import torch

    if ask := getattr(torch.cpu, "_init_amx", None):
        ask()
