"""The fake engine's processes: command line, start, inner process. The knobs stand in `tests/fakes/vllm`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.fakes import fake_http, fake_output
from tests.fakes.fake_output import log, write
from tests.fakes.fake_server import FakeServer, Manners

VERSION = os.environ.get("FAKE_VLLM_VERSION") or "0.32.0"
CHOICES = {
    "--dtype": ("auto", "bfloat16", "float", "float16", "float32", "half"),
    "--scheduling-policy": ("fcfs", "priority"),
}
SUBCOMMANDS = "{chat,complete,serve,launch,bench,collect-env,download-kernels,preload,run-batch,snapshot}"


@dataclass(frozen=True)
class Knobs:
    start_delay: float
    gpu: bool
    exit_code: int | None
    exit_phase: str
    hang_phase: str
    hang: str
    hang_for: float
    hang_until: Path | None
    no_ready: bool
    log_file: str
    log_flood: int
    ignore_sigterm: bool
    ignore_sigterm_starting: bool
    setsid_child: bool
    manners: Manners

    @classmethod
    def read(cls) -> Knobs:
        def knob(name: str) -> str:
            return os.environ.get(f"FAKE_VLLM_{name}", "")

        return cls(
            start_delay=float(knob("START_DELAY") or 0),
            gpu=bool(knob("GPU")),
            exit_code=int(knob("EXIT_CODE")) if knob("EXIT_CODE") else None,
            exit_phase=knob("EXIT_PHASE") or "weights",
            hang_phase=knob("HANG_PHASE"),
            hang=knob("HANG"),
            hang_for=float(knob("HANG_FOR") or 1e9),
            hang_until=Path(knob("HANG_UNTIL")) if knob("HANG_UNTIL") else None,
            no_ready=bool(knob("NO_READY")),
            log_file=knob("LOG_FILE"),
            log_flood=int(knob("LOG_FLOOD") or 0),
            ignore_sigterm=bool(knob("IGNORE_SIGTERM")),
            ignore_sigterm_starting=bool(knob("IGNORE_SIGTERM_STARTING")),
            setsid_child=bool(knob("SETSID_CHILD")),
            manners=Manners(
                health_status=int(knob("HEALTH_STATUS") or 200),
                tokens=int(knob("TOKENS") or 0),
                token_delay=float(knob("TOKEN_DELAY") or 0),
                die_at_token=int(knob("DIE_AT_TOKEN") or 0),
                wedge_when=Path(knob("WEDGE_WHEN")) if knob("WEDGE_WHEN") else None,
                chats=not knob("NO_CHAT_TEMPLATE"),
            ),
        )


class Parser(argparse.ArgumentParser):
    """vLLM's flags, with its way of complaining about them."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments"):  # vLLM's outermost parser finds these
            usage, program = f"usage: vllm [-h] [-v]\n            {SUBCOMMANDS}\n            ...", "vllm"
        else:
            usage, program = "usage: vllm serve [model_tag] [options]", "vllm serve"
        write(f"{usage}\n{program}: error: {message}\n")
        raise SystemExit(2)


def main(argv: list[str]) -> int:
    if argv[:1] in (["--version"], ["-v"]):
        write(f"{VERSION}+cpu\n")
        return 0
    if argv[:1] != ["serve"]:
        write(f"usage: vllm [-h] [-v]\n            {SUBCOMMANDS}\n            ...\n")
        return 2
    parser = _parser()
    if any(word in ("-h", "--help") or word.startswith("--help=") for word in argv):
        write(parser.format_help())
        return 0
    args = parser.parse_args(_normal(argv[1:]))
    return Start(args, argv, Knobs.read()).run()


def _parser() -> Parser:
    parser = Parser(prog="vllm serve", usage="vllm serve [model_tag] [options]", add_help=False)
    parser.add_argument("model_tag", nargs="?", default="Qwen/Qwen3-0.6B")
    for line in (Path(__file__).parent / "flags.txt").read_text().splitlines():
        kind, *names = line.split()
        if kind == "switch":
            parser.add_argument(*names, action="store_true")
        elif names[0] in CHOICES:
            parser.add_argument(*names, choices=CHOICES[names[0]])
        elif names[0] == "--compilation-config":
            parser.add_argument(*names, type=_compilation)
        else:
            parser.add_argument(*names, nargs={"one": None, "several": "+", "optional": "?"}[kind])
    return parser


def _compilation(text: str) -> Any:
    """vLLM reads the JSON of its configurations into dataclasses while it parses its command line."""
    given = json.loads(text)
    ops = given.get("custom_ops", [])
    if not isinstance(ops, list):
        shown = f"input_value={ops!r}, input_type={type(ops).__name__}"
        raise argparse.ArgumentTypeError(
            "1 validation error for CompilationConfig\ncustom_ops\n"
            f"  Input should be a valid array [type=list_type, {shown}]\n"
            "    For further information visit https://errors.pydantic.dev/2.14/v/list_type\n"
        )
    return given


def _normal(argv: list[str]) -> list[str]:
    """Underscores of names as dashes, and `--a.b` as its flag `--a`, as vLLM's parser does."""
    normal = []
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            word = name.split(".")[0].replace("_", "-") + equals + value
        normal.append(word)
    return normal


class Start:
    """One start, from the banner to serving; it ends early where a knob or a fault says so."""

    def __init__(self, args: argparse.Namespace, argv: list[str], knobs: Knobs) -> None:
        self.args = args
        self.argv = argv
        self.knobs = knobs
        self.model: str = args.model or args.model_tag
        self.host: str = args.host or "127.0.0.1"
        self.context = int(args.max_model_len or 32768)
        self.core = 0  # pid of the inner process
        self.refusals = 1 if knobs.ignore_sigterm_starting else 0  # of SIGTERM, until it is ready
        local = self.model.startswith(("/", ".", "~"))
        self.phases = ["import", *([] if local else ["download"]), "weights"]
        wanted = (knobs.exit_phase, knobs.hang_phase)
        self.phases += [] if args.enforce_eager and "compile" not in wanted else ["compile"]
        self.phases += ["memory", *(["graphs"] if knobs.gpu or "graphs" in wanted else []), "warm_up"]

    def run(self) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if self.knobs.ignore_sigterm else self._told_to_end)
        signal.signal(signal.SIGINT, self._told_to_end)
        if self.knobs.log_file:
            write(Path(self.knobs.log_file).read_bytes())
        listener = self._import()
        if listener is None:
            return 1
        for phase in self.phases:
            if phase != "import":
                self._inner(phase)
            self._fate(phase)
        log("INFO", "entry.py:136", "Supported tasks: ['generate']")
        log("INFO", "entry.py:140", f"Starting vLLM server on http://{self.host}:{self.args.port}")
        log("INFO", "launcher.py:186", "Available routes are:")
        log("INFO", "launcher.py:195", "Route: /health, Methods: GET")
        write(
            f"INFO:     Started server process [{os.getpid()}]\nINFO:     Waiting for application startup.\n"
        )
        write("INFO:     Application startup complete.\n")
        if self.knobs.no_ready:
            self._wait_for_ever()
        return self._serve(listener)

    def _import(self) -> socket.socket | None:
        """The first lines, and the port; None when this start has failed."""
        for line in fake_output.BANNER:
            log("INFO", "api_utils.py:347", line.format(model=self.model))
        given = {
            "model_tag": self.args.model_tag,
            "host": self.host,
            "port": int(self.args.port or 8000),
        }
        log("INFO", "api_utils.py:286", f"non-default args: {given}")
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind((self.host, given["port"]))
        except OSError:
            write(fake_output.PORT_IN_USE)
            return None
        if "download" not in self.phases and not os.path.exists(self.model):
            write(fake_output.MISSING_MODEL.format(model=self.model))
            return None
        for level, place, text in fake_output.IMPORTED:
            log(level, place, text.format(context=self.context))
        self._pass(1.0)
        self.core = _fork(_core)
        if self.knobs.setsid_child:
            _fork(_loner)
        text = f"Initializing a V1 LLM engine (v{VERSION}) with config: model='{self.model}'"
        log("INFO", "core.py:133", text, process="EngineCore", pid=self.core)
        return listener

    def _inner(self, phase: str) -> None:
        lines = fake_output.INNER[phase]
        for line in lines:
            text = line.format(model=self.model, context=self.context)
            if text.startswith("\r"):
                write(text)
            else:
                level, place, message = text.split(" ", 2)
                log(level, place, message, process="EngineCore", pid=self.core)
            self._pass(1 / len(lines))
        if lines[-1].startswith("\r"):
            write("\n")

    def _pass(self, share: float) -> None:
        """Let a share of one phase's time go by."""
        time.sleep(self.knobs.start_delay / len(self.phases) * share)

    def _fate(self, phase: str) -> None:
        if phase == self.knobs.hang_phase:
            self._hang(time.monotonic() + self.knobs.hang_for)
        if phase == self.knobs.exit_phase and self.knobs.exit_code is not None:
            self._die(self.knobs.exit_code)

    def _die(self, code: int) -> None:
        if code and not self.knobs.log_file:
            reason = "RuntimeError: FAKE_VLLM_EXIT_CODE asked for this end."
            log("ERROR", "core.py:1510", reason, process="EngineCore", pid=self.core)
            write(
                f"(APIServer pid={os.getpid()}) RuntimeError: Engine core initialization failed. "
                "See root cause above. Failed core proc(s): {}\n"
            )
        self._end_core()
        if code < 0:
            if code != -signal.SIGKILL:
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        raise SystemExit(code)

    def _hang(self, until: float) -> None:
        awaited = self.knobs.hang_until
        while time.monotonic() < until and not (awaited and awaited.exists()):
            if self.knobs.hang == "talks":
                log("INFO", "shm_broadcast.py:681", "Still waiting.", process="EngineCore", pid=self.core)
            if self.knobs.hang != "computes":
                time.sleep(0.5)

    def _wait_for_ever(self) -> None:
        while True:
            signal.pause()

    def _told_to_end(self, number: int, _frame: object) -> None:
        """A signal before it is ready: the whole tree goes, at once."""
        if number == signal.SIGTERM and self.refusals:
            self.refusals -= 1
            return
        self._end_core()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _end_core(self) -> None:
        if self.core:
            os.kill(self.core, signal.SIGKILL)
            os.waitpid(self.core, 0)
            self.core = 0

    def _serve(self, listener: socket.socket) -> int:
        if self.knobs.exit_phase == "running" and self.knobs.exit_code is not None:
            self._die(self.knobs.exit_code)
        if self.knobs.log_flood:
            threading.Thread(target=fake_output.flood, args=[self.knobs.log_flood], daemon=True).start()
        names = self.args.served_model_name or [self.model]
        fake_http.QUIET.update((self.args.disable_access_log_for_endpoints or "").split(","))
        server = FakeServer(
            model=self.model,
            names=names,
            keys=[key for key in (os.environ.get("VLLM_API_KEY"), *(self.args.api_key or [])) if key],
            core=self.core,
            context=self.context,
            max_running=int(self.args.max_num_seqs or 256),
            pooling=self.args.runner == "pooling",
            shutdown_timeout=float(self.args.shutdown_timeout or 0),
            stoppable=not self.knobs.ignore_sigterm,
            manners=self.knobs.manners,
        )
        return asyncio.run(server.serve(listener))


def _fork(work: Callable[[], None]) -> int:
    """A child that does `work` for ever; its standard output is ours, as with real engines."""
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work()
    while True:  # it lives on as an orphan when the main process is killed, as the real one does
        signal.pause()


def _core() -> None:
    Path("/proc/self/comm").write_text("VLLM::EngineCor")  # the kernel keeps 15 characters


def _loner() -> None:
    os.setsid()
    Path("/proc/self/comm").write_text("VLLM::Loner")
