"""Less memory for the console's own process."""

import ctypes

M_TRIM_THRESHOLD, M_ARENA_MAX = -1, -8  # glibc's numbers, from malloc.h
TRIM = 128 * 1024  # bytes free at the end of the heap that go back to the system


def keep_small() -> None:
    """Let all threads share one heap, and give back what is free.

    By itself glibc makes a heap for each thread, and each keeps what it once held. Under Python's lock the threads do
    not wait for one another here. Told to glibc itself and not in the environment, which the engines would inherit;
    other C libraries have no such call, nor the trait.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, TRIM)
