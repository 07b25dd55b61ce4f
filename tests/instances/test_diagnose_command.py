from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from instances.vllm.report import report_of, span
from tests.instances.vllm.samples import HERE, real, report


def said(path: Path | str) -> list[str]:
    out = io.StringIO()
    call_command("diagnose", str(path), stdout=out, no_color=True)
    return out.getvalue().splitlines()


def of(tmp_path: Path, text: str | bytes) -> list[str]:
    (tmp_path / "engine.log").write_bytes(text if isinstance(text, bytes) else text.encode())
    return said(tmp_path / "engine.log")


@pytest.mark.parametrize("path", sorted((HERE / "reports").glob("*.log")), ids=lambda path: path.stem)
def test_every_report_is_told(path: Path) -> None:
    lines = said(path)
    assert lines[0].startswith("Phases    ")
    if not path.stem.startswith("gpu-start"):
        evidence = lines[lines.index("Evidence") + 1]
        assert evidence in report(path.stem) and evidence
        assert any(line.startswith("What to change  ") for line in lines)


def test_the_change_is_told_as_the_configuration_has_it() -> None:
    assert 'Configuration  {"max_model_len": 34688}' in said(HERE / "reports" / "context-too-long.log")


def test_a_start_of_version_0_6_is_followed() -> None:
    """S01: no seconds are told for the weights, and advice about memory is no cause."""
    lines = said(HERE / "reports" / "gpu-start-0.6.log")
    assert "memory 72 s" in lines[0]
    assert not any("ran out" in line for line in lines) and "Evidence" not in lines


def test_a_start_of_version_0_9_is_followed() -> None:
    """S02: the engine's own numbers, although the log begins in the middle."""
    assert "compile 46 s" in said(HERE / "reports" / "gpu-start-0.9.log")[0]
    assert "graphs 37 s" in said(HERE / "reports" / "gpu-start-0.9.log")[0]


def test_a_start_of_version_0_11_is_followed() -> None:
    """S03: two bars of graphs, lines without stamps between."""
    assert said(HERE / "reports" / "gpu-start-0.11.log")[0].startswith(
        "Phases    import 0 s, weights 27 s, compile 20 s, memory 1 s, graphs "
    )


def test_numbers_that_the_engine_tells_need_no_stamps(tmp_path: Path) -> None:
    lines = of(
        tmp_path,
        "Starting to load model x...\nLoading weights took 142.1 seconds\n"
        "Model loading took 2.05 GiB memory and 27.2 seconds\ntorch.compile takes 39 s in total\n",
    )
    assert lines[0] == "Phases    import, weights 142 s, compile 39 s"


def test_our_own_stamps_are_used_and_kept_in_the_evidence(tmp_path: Path) -> None:
    last = "2026-11-25T04:00:20.000Z OSError: [Errno 98] Address already in use"
    lines = of(
        tmp_path,
        f"2026-11-25T04:00:00.000Z hello\n2026-11-25T04:00:08.000Z Starting to load model x...\n{last}\n",
    )
    assert lines[0] == "Phases    import 8 s, weights 12 s"
    assert lines[lines.index("Evidence") + 1] == last


def test_a_good_start_is_not_called_a_failure(tmp_path: Path) -> None:
    good = [line for line in real("default-start")]
    end = next(at for at, line in enumerate(good) if "[shutdown]" in line)
    lines = of(tmp_path, "\n".join(good[:end]))
    assert lines[-1] == "It became ready after 30 s; no failure is in this log."
    assert "Evidence" not in lines


def test_a_request_that_failed_is_not_the_end(tmp_path: Path) -> None:
    good = real("default-start")
    end = next(at for at, line in enumerate(good) if "[shutdown]" in line)
    lines = of(tmp_path, "\n".join([*good[:end], "ERROR 11-25 03:57:00 [a.py:1] ValueError: a bad request"]))
    assert "no failure is in this log" in lines[-1]


def test_of_several_starts_the_last_one_counts(tmp_path: Path) -> None:
    first, last = real("engine-core-killed"), real("port-in-use")
    lines = of(tmp_path, "\n".join([*first, *last]))
    assert "Ready     no" in lines and "The port is already in use" in lines[2]


@pytest.mark.parametrize("text", [b"", b"\n\n", b"\x00\xff\xfe\x80" * 1000, b"hello"])
def test_whatever_it_finds_it_ends_well(tmp_path: Path, text: bytes) -> None:
    assert of(tmp_path, text)


def test_an_empty_log_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert of(tmp_path, b"") == ["The log is empty; there is nothing to say about it."]


def test_a_file_that_cannot_be_read_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert said(tmp_path) == [f"{tmp_path} cannot be read: Is a directory."]
    assert said(tmp_path / "none") == [f"{tmp_path / 'none'} cannot be read: No such file or directory."]


def test_it_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.TextIOWrapper(io.BytesIO(b"OSError: [Errno 98] Address already in use\n"))
    monkeypatch.setattr(sys, "stdin", text)
    assert "Cause     The port is already in use by another program." in said("-")


def test_colours_carriage_returns_and_windows_ends_do_no_harm(tmp_path: Path) -> None:
    lines = of(
        tmp_path,
        b"Loading:   0%|  |\rLoading: 100%|##|\r\n\x1b[31mOSError: [Errno 98] Address already in use\x1b[0m\r\n",
    )
    assert lines[lines.index("Evidence") + 1] == "OSError: [Errno 98] Address already in use"


def test_the_file_of_another_system_is_read(tmp_path: Path) -> None:
    text = "\ufeffhello\r\nOSError: [Errno 98] Address already in use\r\n"
    for encoding in ("utf-16-le", "utf-16-be", "utf-8"):
        assert any("port is already in use" in line for line in of(tmp_path, text.encode(encoding))), encoding


def test_an_error_of_several_lines_is_quoted_verbatim(tmp_path: Path) -> None:
    error = [
        "(APIServer pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for Foo",
        "(APIServer pid=1) something",
        "(APIServer pid=1)   Nobody knows this text [type=x]",
    ]
    lines = of(tmp_path, "\n".join(["(APIServer pid=1) Traceback (most recent call last):", *error]))
    at = lines.index("Evidence")
    assert lines[at + 1 : at + 4] == error


def test_notices_of_a_running_engine_are_told(tmp_path: Path) -> None:
    line = "WARNING 11-24 11:44:18 [x.py:1] Casting torch.bfloat16 to torch.float16."
    lines = of(tmp_path, line)
    assert line in lines and any(one.startswith("Notice    ") for one in lines)


def test_a_long_log_is_read_in_bounded_memory(tmp_path: Path) -> None:
    many = ('INFO:     10.0.0.2:1 - "GET /x HTTP/1.1" 200 OK' for _ in range(100_000))
    found = report_of([*many, "OSError: [Errno 98] Address already in use"])
    assert found.lines == 100_001 and found.why and found.why.code == "port-in-use"
    lines = of(tmp_path, b"x" * 3_000_000 + b"\nOSError: [Errno 98] Address already in use")
    assert any("port is already in use" in line for line in lines)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (0.26, "0.3 s"), (3.0, "3 s"), (141.6, "142 s")])
def test_seconds_are_rounded(seconds: float, text: str) -> None:
    assert span(seconds) == text
