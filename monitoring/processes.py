"""What a process and all below it use."""

from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """A tree's use. Processor: 100 is one thread, None in the first reading. Memory in bytes."""

    cpu_percent: float | None
    memory: int
    processes: int


class ProcessReader:
    """Reads process trees; a process that ends meanwhile is simply not counted.

    Between two readings it keeps the psutil objects, which hold the processor times to compare with.
    """

    def __init__(self) -> None:
        self._trees: dict[int, dict[psutil.Process, psutil.Process]] = {}  # by the root's pid

    def usages(self, pids: Iterable[int]) -> dict[int, Usage]:
        """The trees that are there, by the pid of their roots; all other trees are forgotten."""
        wanted = set(pids)
        self._trees = {pid: tree for pid, tree in self._trees.items() if pid in wanted}
        return {pid: usage for pid in wanted if (usage := self.tree_usage(pid)) is not None}

    def tree_usage(self, pid: int) -> Usage | None:
        """None when no such process runs, or when it may not be looked at."""
        try:
            root = psutil.Process(pid)
            found = [root, *root.children(recursive=True)]
        except psutil.Error:
            self._trees.pop(pid, None)
            return None
        before = self._trees.get(pid, {})
        tree: dict[psutil.Process, psutil.Process] = {}
        cpu, private, shared = 0.0, 0, 0
        for process in found:
            kept = before.get(process, process)  # equal means: the same pid and the same start
            try:
                with kept.oneshot():
                    memory = kept.memory_info()
                    used = kept.cpu_percent()
            except psutil.Error:
                continue
            if not memory.rss:  # a zombie: over, but not yet collected by its parent
                continue
            tree[kept] = kept
            cpu += used
            # Pages that processes share (libraries, shared memory) are counted once. Exact shares (PSS) would
            # make the kernel walk all pages of a big engine at each reading.
            its_shared = getattr(memory, "shared", 0)
            private += memory.rss - its_shared
            shared = max(shared, its_shared)
        if not tree:
            self._trees.pop(pid, None)
            return None
        self._trees[pid] = tree
        return Usage(round(cpu, 1) if before else None, private + shared, len(tree))
