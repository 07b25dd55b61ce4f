"""The stand-in must behave as the real engine does, or the tests that stand on it prove nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from instances.vllm.diagnosis import diagnose
from instances.vllm.phases import PhaseReader
from tests.console import FAKE_VLLM, eventually, free_port

CHAT = "/v1/chat/completions"


class Fake:
    """One run of the fake command, with its whole process tree."""

    def __init__(
        self, folder: Path, *flags: str, model: str | None = None, **knobs: str | int | float
    ) -> None:
        self.port = free_port()
        self.log = folder / "log"
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "VLLM_API_KEY": "key"}
        environment |= {f"FAKE_VLLM_{name.upper()}": str(value) for name, value in knobs.items()}
        command = [
            str(FAKE_VLLM),
            "serve",
            model or str(folder),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--served-model-name", "tiny", *flags],
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": "Bearer key"}, timeout=20
        )
        self.tree: list[psutil.Process] = []

    def ready(self) -> Fake:
        eventually(self.healthy, what=self.text)
        return self.look()

    def look(self) -> Fake:
        """Remember the process tree, which is gone from sight once the main process is."""
        self.tree = psutil.Process(self.process.pid).children(recursive=True)
        return self

    def healthy(self) -> bool:
        assert self.process.poll() is None, self.text
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def core(self) -> psutil.Process:
        return next(process for process in self.tree if process.name() == "VLLM::EngineCor")

    def metric(self, name: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:{name}"))

    def ask(self, **body: Any) -> httpx.Response:
        return self.client.post(
            CHAT, json={"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], **body}
        )

    def end(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.look()
            self.process.kill()
            self.process.wait()
        for process in self.tree:
            if process.is_running():
                process.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    runs: list[Fake] = []

    def begin(*flags: str, model: str | None = None, **knobs: str | int | float) -> Fake:
        folder = tmp_path / str(len(runs))
        folder.mkdir()
        runs.append(Fake(folder, *flags, model=model, **knobs))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def events(response: httpx.Response) -> list[Any]:
    blocks = [block for block in response.text.split("\n\n") if block]
    assert all(block.startswith("data: ") for block in blocks)
    return [block[6:] if block == "data: [DONE]" else json.loads(block[6:]) for block in blocks]


def cause(run: Fake, phase: str = "import") -> str:
    code = run.process.wait(timeout=30)
    return diagnose(run.text.splitlines(), exit_code=code, signal=None, phase=phase).code


def test_it_says_its_version() -> None:
    done = subprocess.run([str(FAKE_VLLM), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "0.32.0+cpu\n"


def test_it_lists_its_flags() -> None:
    done = subprocess.run([str(FAKE_VLLM), "serve", "--help=all"], capture_output=True, text=True, check=True)
    assert "--max-model-len" in done.stdout


def test_its_start_reads_like_a_real_one(start: Any) -> None:
    run = start("--enforce_eager").ready()
    reader = PhaseReader()
    for line in run.text.split("\n"):
        reader.feed(line.rpartition("\r")[2])
    assert reader.seen == ["import", "weights", "memory", "warm_up"]


def test_its_start_knows_all_phases(start: Any) -> None:
    run = start(model="owner/name", gpu=1).ready()
    reader = PhaseReader()
    for line in run.text.replace("\r", "\n").split("\n"):
        reader.feed(line)
    assert set(reader.seen) == {"import", "download", "weights", "compile", "memory", "graphs", "warm_up"}


def test_only_v1_asks_for_the_key(start: Any) -> None:
    run = start().ready()
    bare = httpx.Client(base_url=run.client.base_url)
    for path in ("/health", "/ping", "/version", "/load", "/metrics"):
        assert bare.get(path).status_code == 200
    assert bare.get("/v1/models").status_code == 401
    assert bare.get("/v1/models", headers={"Authorization": "Bearer other"}).status_code == 401
    assert [card["id"] for card in run.client.get("/v1/models").json()["data"]] == ["tiny"]


def test_it_answers_whole(start: Any) -> None:
    run = start().ready()
    answer = run.ask(messages=[{"role": "user", "content": "What is the capital of Japan?"}]).json()
    assert answer["choices"][0]["message"]["content"] == "The capital of Japan is Tokyo."
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 12, "completion_tokens": 6}
    assert run.ask(max_tokens=1).json()["choices"][0]["finish_reason"] == "length"
    written = run.client.post("/v1/completions", json={"model": "tiny", "prompt": "a b"}).json()
    assert written["choices"][0]["text"] == "You said: a b"
    vectors = run.client.post("/v1/embeddings", json={"model": "tiny", "input": ["a", "b"]}).json()
    assert len(vectors["data"]) == 2


def test_it_streams_one_word_a_token(start: Any) -> None:
    run = start().ready()
    response = run.ask(stream=True)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, last = events(response)
    assert last == "[DONE]"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["", "You", " said:", " Hi", ""]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in chunk for chunk in chunks)


def test_it_counts_for_those_who_ask(start: Any) -> None:
    run = start().ready()
    *chunks, _ = events(run.ask(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {"prompt_tokens": 1, "total_tokens": 4, "completion_tokens": 3}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b'{"model": "nope", "messages": [{"content": "x"}]}', 404, "NotFoundError"),
        (b"{", 400, "Bad Request"),
        (b'{"model": "tiny"}', 400, "Bad Request"),
        (b'{"stream_options": {"include_usage": true}, "messages": []}', 400, "BadRequestError"),
    ],
)
def test_its_errors_have_the_real_shape(start: Any, body: bytes, status: int, kind: str) -> None:
    run = start().ready()
    response = run.client.post(CHAT, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["type"], error["code"]) == (kind, status)
    assert run.client.post("/invocations", json={}).status_code == 404


def test_its_counters_move(start: Any) -> None:
    run = start("--max-num-seqs", "1", token_delay=0.05, tokens=400).ready()
    clients = [threading.Thread(target=lambda: run.ask(max_tokens=60)) for _ in range(2)]
    for client in clients:
        client.start()
    eventually(lambda: run.metric("num_requests_running") == 1 and run.metric("num_requests_waiting") == 1)
    before = run.metric("generation_tokens_total")
    eventually(lambda: run.metric("generation_tokens_total") > before)
    assert run.metric("kv_cache_usage_perc") > 0
    for client in clients:
        client.join()
    assert run.metric("generation_tokens_total") == 120
    assert run.metric('request_success_total{engine="0",model_name="tiny",finished_reason="length"}') == 2
    assert run.metric("time_to_first_token_seconds_count") == 2


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_leaves_ends_the_work(start: Any, streams: bool) -> None:  # row 24
    run = start(token_delay=0.05, tokens=100_000).ready()
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "stream": streams})
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Type: application/json\r\n"
    )
    with socket.create_connection(("127.0.0.1", run.port)) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        eventually(lambda: run.metric("num_requests_running") == 1)
    eventually(lambda: run.metric("num_requests_running") == 0)
    assert run.metric('request_success_total{engine="0",model_name="tiny",finished_reason="abort"}') == 1


def test_sigterm_when_ready_ends_it_with_0(start: Any) -> None:
    run = start().ready()
    run.process.terminate()
    assert run.process.wait(timeout=30) == 0
    eventually(lambda: all(gone(process) for process in run.tree))


def test_sigterm_freezes_an_answer_in_flight(start: Any) -> None:
    run = start(token_delay=0.02, tokens=100_000).ready()
    with run.client.stream(
        "POST", CHAT, json={"model": "tiny", "messages": [{"content": "x"}], "stream": True}
    ) as got:
        lines = got.iter_lines()  # kept: its end would end the stream
        next(lines)
        core = run.core
        run.process.terminate()
        eventually(lambda: gone(core))
        seen: list[float] = []

        def silent() -> bool:
            seen.append(run.metric("generation_tokens_total"))
            return (
                len(seen) > 20 and len(set(seen[-20:])) == 1
            )  # a second, in which 50 tokens would have come

        eventually(silent)
        assert run.process.poll() is None
    assert run.process.wait(timeout=30) == 0  # the client has left


def test_a_shutdown_timeout_lets_an_answer_end(start: Any) -> None:
    run = start("--shutdown-timeout", "30", token_delay=0.02, tokens=50).ready()
    with run.client.stream(
        "POST", CHAT, json={"model": "tiny", "messages": [{"content": "x"}], "stream": True}
    ) as got:
        lines = got.iter_lines()
        next(lines)
        run.process.terminate()
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert run.process.wait(timeout=30) == 0


def test_sigkill_of_main_leaves_the_core_behind(start: Any) -> None:  # row 5
    run = start(setsid_child=1).ready()
    assert len(run.tree) == 2
    run.process.kill()
    assert run.process.wait(timeout=30) == -signal.SIGKILL
    assert not any(gone(process) for process in run.tree)


def test_sigkill_of_the_core_ends_main_with_0(start: Any) -> None:  # row 6
    run = start(token_delay=0.02, tokens=100_000).ready()
    with run.client.stream(
        "POST", CHAT, json={"model": "tiny", "messages": [{"content": "x"}], "stream": True}
    ) as got:
        lines = got.iter_lines()
        next(lines)
        run.core.kill()
        *_, error, done = [line for line in lines if line]
    assert "EngineCore encountered an issue" in json.loads(error[6:])["error"]["message"]
    assert done == "data: [DONE]"
    assert cause(run, "warm_up") == "engine-core-died"
    assert run.process.returncode == 0


def test_it_can_die_in_an_answer(start: Any) -> None:  # row 25
    run = start(die_at_token=3, tokens=10).ready()
    with pytest.raises(httpx.RemoteProtocolError):
        run.ask(stream=True)
    assert run.process.wait(timeout=30) == 1
    eventually(lambda: all(gone(process) for process in run.tree))


@pytest.mark.parametrize(
    ("flags", "code", "why"),
    [
        (("--no-such-flag", "3"), 2, "unknown-flag"),
        (("--dtype", "float13"), 2, "bad-choice"),
        (("--device", "cuda"), 2, "ambiguous-flag"),
    ],
)
def test_a_bad_command_line_ends_it_with_2(start: Any, flags: tuple[str, ...], code: int, why: str) -> None:
    run = start(*flags)
    assert cause(run) == why
    assert run.process.returncode == code


def test_a_missing_model_ends_it_with_1(start: Any) -> None:
    run = start(model="/srv/models/nope")
    assert cause(run) == "model-not-found"
    assert run.process.returncode == 1


def test_a_taken_port_ends_it_with_1(start: Any) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        run = start("--port", str(stranger.getsockname()[1]))
        assert cause(run) == "port-in-use"
    assert run.process.returncode == 1


def test_two_of_them_can_share_a_port(start: Any) -> None:  # row 10: so a health check proves nothing
    first = start().ready()
    second = start("--port", str(first.port))
    eventually(lambda: "Application startup complete" in second.text)
    assert second.process.poll() is None


@pytest.mark.parametrize("phase", ["import", "weights", "compile", "memory", "graphs", "warm_up", "running"])
def test_it_dies_where_it_is_told_to(start: Any, phase: str) -> None:
    run = start(exit_phase=phase, exit_code=3)
    assert run.process.wait(timeout=30) == 3
    assert ("Application startup complete" in run.text) == (phase == "running")
    found = diagnose(run.text.splitlines(), exit_code=3, signal=None, phase=phase)
    assert "asked for this end" in found.evidence


def test_it_dies_by_a_signal_when_told_to(start: Any) -> None:
    assert start(exit_code=-11).process.wait(timeout=30) == -signal.SIGSEGV


def test_it_hangs_where_it_is_told_to(start: Any) -> None:
    run = start(hang_phase="memory")
    eventually(lambda: "KV cache size" in run.text)
    run.look()
    assert not run.healthy()
    assert "init engine" not in run.text
    run.process.terminate()
    assert run.process.wait(timeout=30) == -signal.SIGTERM
    eventually(lambda: all(gone(process) for process in run.tree))


def test_it_can_ignore_sigterm(start: Any) -> None:  # row 14
    run = start(ignore_sigterm=1).ready()
    run.process.terminate()
    assert run.ask().status_code == 200
    assert run.process.poll() is None


def test_it_can_ignore_the_first_sigterm_of_its_start(start: Any) -> None:
    run = start(ignore_sigterm_starting=1, hang_phase="weights")
    eventually(lambda: "Loading weights took" in run.text)
    run.process.terminate()
    eventually(lambda: not _pending(run.process.pid, signal.SIGTERM))
    assert run.process.poll() is None
    run.process.terminate()
    assert run.process.wait(timeout=30) == -signal.SIGTERM


def _pending(pid: int, number: int) -> bool:
    fields = dict(
        line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    return bool((int(fields["ShdPnd"], 16) | int(fields["SigPnd"], 16)) >> (number - 1) & 1)


def test_it_can_seem_ready_and_never_listen(start: Any) -> None:
    run = start(no_ready=1)
    eventually(lambda: "Application startup complete" in run.text)
    assert not run.healthy()


def test_it_can_be_unwell(start: Any) -> None:
    run = start(health_status=500)
    eventually(lambda: "Application startup complete" in run.text)
    eventually(lambda: _status(run) == 500)


def _status(run: Fake) -> int:
    try:
        return run.client.get("/health").status_code
    except httpx.TransportError:
        return 0


def test_it_says_what_a_file_holds(start: Any, tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes(b"OSError: [Errno 28] No space left \xff\x00\n")
    run = start(log_file=tmp_path / "said", exit_code=1)
    assert cause(run) == "disk-full"
    assert run.log.read_bytes().startswith(b"OSError: [Errno 28] No space left \xff\x00\n")


def test_it_can_flood_and_still_serve(start: Any) -> None:
    run = start(log_flood=5).ready()
    eventually(lambda: run.log.stat().st_size > 5_000_000)
    assert run.ask().status_code == 200


def test_its_start_can_take_time(start: Any) -> None:
    run = start(start_delay=600)
    eventually(lambda: "Resolved architecture" in run.text)
    assert not run.healthy()
    run.process.terminate()
    assert run.process.wait(timeout=30) == -signal.SIGTERM
