"""The parent of one engine: starts it, keeps its log, ends its tree, and records how it ended.

Run as `python -I -S shim.py DIRECTORY` in a session of its own, one per launch; it outlives the
console. In the launch directory it reads `spec.json` and `stop` (when everything is to be killed, by the
monotonic clock; SIGTERM says that it is new or earlier) and writes `shim.json` (who is who, before the
engine runs), the log, and `exit.json`, whose bytes it takes from the disk at the start so that a full disk
cannot lose the end of the story. While the first byte of `exit.json` is no `{` there is no record yet.

Standard library only, few modules: one of these runs beside every engine.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress

if __name__ == "__main__":  # started by path: the two siblings are found from there
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from instances.launchers import processes
from instances.logs.writer import Writer

GRACE = 30.0  # seconds, for a SIGTERM without a `stop` file: the machine goes down, the disk is full
ORPHAN_GRACE = 5.0  # seconds that children may outlive a main process which ended by itself
SWEEP_DEADLINE = 10.0  # seconds of SIGKILLs, then what is left is recorded as unswept
SWEEP_PAUSE = 0.05  # seconds between two looks at the tree
READ = 64 * 1024  # bytes of one read: the writer's fast path, and small buffers
READS = 16  # reads in a row before the other descriptors get their turn
LAST_READS = 64  # rounds at the end; a stranger that still writes must not keep us
PIPE = 1024 * 1024  # bytes the engine may be ahead of us
RECORD = 4096  # bytes of exit.json
REFUSED = 3  # our exit code if the launch runs already or has run
PR_SET_CHILD_SUBREAPER = 36


class Shim:
    """Holds one engine from its first instruction to the last of its descendants.

    The main process stays uncollected until the sweep is over, so that its pid and its group cannot be
    somebody else's when they are signalled. The engine's program begins only after its pid stands in
    `shim.json`.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        with open(os.path.join(directory, "spec.json")) as file:
            spec = json.load(file)
        self.argv: list[str] = spec["argv"]
        self.env: dict[str, str] = spec["env"]
        self.writer = Writer(directory, spec["log_cap"])
        self.pid = 0  # of the main process
        self.main_ended = False
        self.kill_at: float | None = None  # monotonic; from then on everything is killed
        self.give_up_at: float | None = None  # monotonic; from then on what lives is left
        self.asked = False  # SIGTERM was sent
        self.silent = False  # nobody holds the other end of the pipe any more
        self.pipe = self.main = self.wakeup = -1
        self.poll = select.poll()

    def run(self) -> None:
        """Start the engine, stay with it to its end, and leave the record of it."""
        self.wakeup = self._watch_signals()
        with open(os.path.join(self.directory, "exit.json"), "wb", opener=_private) as record:
            record.write(b" " * RECORD)
            record.flush()
            os.fsync(record.fileno())
        self._write_identity(None)
        if self._end_asked() is not None:  # stopped before it began
            self._record(None, signal.SIGTERM, "", [])
            return
        try:
            problem = self._spawn()
        except OSError as error:
            problem = f"The host had no room for it: {error.strerror}."
            if self.pid:  # it still waits for the word to begin
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        if problem:
            self.writer.note(f"the engine could not be started: {problem}")
            self.writer.close()
            self._record(None, None, problem, [])
            return
        if self._end_asked() is not None:
            self._stop()
        unswept = self._watch()
        for _ in range(LAST_READS):
            if not self._drain():
                break
        self.writer.close()
        if self.pid in unswept:
            self._record(None, None, "", unswept)
            return
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._record(code if code >= 0 else None, -code if code < 0 else None, "", unswept)

    def _watch_signals(self) -> int:
        """SIGTERM (blocked by the launcher until now) and SIGCHLD wake the loop; others are not for us."""
        wakeup, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(signum, lambda *_: None)
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return wakeup

    def _spawn(self) -> str:
        """Start the engine in a session of its own; returns why it could not be, or an empty string."""
        self.pipe, output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.pipe, False)
        with suppress(PermissionError):  # this user's share of pipe memory is used up: less does too
            fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, PIPE)
        go, start = os.pipe2(os.O_CLOEXEC)
        failed, report = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(start)
            self._become_engine(go, output, report)
        for fd in (go, output, report):
            os.close(fd)
        child = processes.look(self.pid)
        self.main = os.pidfd_open(self.pid)
        self._write_identity(child)
        os.write(start, b"g")
        os.close(start)
        problem = os.read(failed, 4096).decode()  # nothing, as soon as the program has been loaded
        os.close(failed)
        if problem:
            os.waitpid(self.pid, 0)
        return problem

    def _become_engine(self, go: int, output: int, report: int) -> None:
        """In the child: wait for the word, then be the engine. Never returns."""
        try:
            os.setsid()
            if os.read(go, 1):  # nothing: the shim died, and nobody would look after the engine
                null = os.open(os.devnull, os.O_RDONLY)
                for source, target in ((null, 0), (output, 1), (output, 2)):
                    os.dup2(source, target)
                # Also what was ignored before us, as by `nohup` or a shell's `&`.
                for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                    signal.signal(signum, signal.SIG_DFL)
                os.execvpe(self.argv[0], self.argv, self.env)
        except (OSError, ValueError) as error:
            os.write(report, _sentence(self.argv[0], error).encode())
        finally:
            os._exit(127)

    def _write_identity(self, engine: processes.Process | None) -> None:
        me = processes.look(os.getpid())
        assert me is not None
        identity = {
            "boot": processes.boot_id(),
            "shim": {"pid": me.pid, "start": me.start},
            "engine": {"pid": engine.pid, "start": engine.start} if engine else None,
            "pipe": os.fstat(self.pipe).st_ino if engine else None,  # the tree writes to it: a way to find it
        }
        path = os.path.join(self.directory, "shim.json")
        with open(path + ".new", "w", opener=_private) as file:
            json.dump(identity, file)
        os.rename(path + ".new", path)

    def _watch(self) -> list[int]:
        """Keep the log until the whole tree is gone; returns the pids that would not go."""
        for fd in (self.pipe, self.main, self.wakeup):
            self.poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in self.poll.poll(self._wait()):
                if fd == self.pipe:
                    self._drain()
                    if self.silent:
                        self.poll.unregister(self.pipe)  # or the loop would spin
                elif fd == self.main:
                    self.poll.unregister(self.main)
                    self.main_ended = True
                    self._hurry(ORPHAN_GRACE)
                else:
                    self._heed_signals()
            due = self.writer.due()
            if due is not None and due <= 0:
                self.writer.flush()
            killing = self.kill_at is not None and time.monotonic() >= self.kill_at
            if not killing and not self.main_ended:
                continue
            alive = self._collect()
            if killing:
                self._kill(alive)
            if self.main_ended and not alive:
                return []
            if self.give_up_at is not None and time.monotonic() >= self.give_up_at:
                return [process.pid for process in alive]

    def _wait(self) -> int:
        """Milliseconds until something is to be done without being woken; -1 for no such time."""
        times = []
        due = self.writer.due()
        if due is not None:
            times.append(due)
        if self.kill_at is not None:
            times.append(max(0.0, self.kill_at - time.monotonic()) or SWEEP_PAUSE)
        if self.main_ended:
            times.append(SWEEP_PAUSE)
        return int(min(times) * 1000) + 1 if times else -1

    def _drain(self) -> bool:
        """Take what the tree has said. Returns False when there is nothing more for now."""
        for _ in range(READS):
            try:
                data = os.read(self.pipe, READ)
            except BlockingIOError:
                return False
            if not data:
                self.silent = True
                return False
            self.writer.feed(data)
        return True

    def _heed_signals(self) -> None:
        received = os.read(self.wakeup, 512)
        if signal.SIGTERM in received:
            self._stop()
        if signal.SIGCHLD in received:
            self._collect()

    def _end_asked(self) -> float | None:
        """When everything is to be killed, by the monotonic clock, if somebody has asked for a stop."""
        try:
            with open(os.path.join(self.directory, "stop")) as file:
                return float(file.read())
        except (
            OSError,
            ValueError,
        ):  # nobody has; or no descriptor is left, or it was cut off as it was written
            return None

    def _stop(self) -> None:
        """Ask once, by SIGTERM to the main process alone; a later request can only bring the end nearer."""
        asked, now = self._end_asked(), time.monotonic()
        left = GRACE if asked is None else asked - now
        self._hurry(left)
        if not self.asked and not self.main_ended and left > 0:
            self.asked = True
            os.kill(self.pid, signal.SIGTERM)  # ours and uncollected, so the pid is still its own

    def _hurry(self, seconds: float) -> None:
        at = time.monotonic() + max(0.0, seconds)
        self.kill_at = at if self.kill_at is None else min(self.kill_at, at)

    def _collect(self) -> list[processes.Process]:
        """Bury the dead that the tree has left to us, but for the main process; returns who lives."""
        found = processes.descendants([os.getpid()], processes.table())
        for process in found:
            if process.ended and process.parent == os.getpid() and process.pid != self.pid:
                os.waitpid(process.pid, os.WNOHANG)
        return [process for process in found if not process.ended]

    def _kill(self, alive: list[processes.Process]) -> None:
        if self.give_up_at is None:
            self.give_up_at = time.monotonic() + SWEEP_DEADLINE
        with suppress(ProcessLookupError):  # it had no group of its own yet
            os.killpg(self.pid, signal.SIGKILL)
        for process in alive:
            with suppress(PermissionError):  # it has become another user's: reported as unswept in the end
                processes.send(process.pid, process.start, signal.SIGKILL)

    def _record(self, code: int | None, signum: int | None, problem: str, unswept: list[int]) -> None:
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}+00:00"
        ended = {
            "code": code,
            "signal": signum,
            "at": at,
            "spawn_error": problem[:400],
            "unswept": unswept[:100],
        }
        fd = os.open(os.path.join(self.directory, "exit.json"), os.O_WRONLY | os.O_CLOEXEC)
        os.pwrite(fd, json.dumps(ended).encode(), 0)
        os.fsync(fd)
        os.close(fd)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _sentence(program: str, error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT and os.path.exists(program):
        return f"{program} names an interpreter in its first line that does not exist."
    if number == errno.ENOENT:
        return f"{program} does not exist."
    if number == errno.EACCES:
        return f"{program} may not be run: it is not an executable file for this user."
    if number == errno.ENOEXEC:
        return f"{program} is no program that this machine can run."
    return f"{program} could not be run: {error.strerror if isinstance(error, OSError) else error}."


def main(directory: str) -> int:
    """Be the shim of the launch in this directory; returns 0, or REFUSED if it has had one."""
    os.chdir(directory)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):  # the descriptor that listed the folder
                os.close(int(name))  # what the console had open is none of ours
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return REFUSED
    if any(os.path.exists(name) for name in ("shim.json", "lost.json")):
        return REFUSED
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no subreaper")
    Shim(directory).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
