"""Whatever is pasted: an answer that is JSON and holds flags which a deploy accepts, never an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.vllm.pasted import masked, read
from instances.vllm.pasted.reading import LONGEST
from instances.vllm.schema import shipped
from instances.vllm.schema.judging import judge_args

from .made import NUMBERS, case, found

PIECES = (
    *(
        "vllm serve ",
        "docker run ",
        "vllm/vllm-openai ",
        "--model ",
        "a/b ",
        "/x/y ",
        "-e ",
        "-v ",
        "--gpus ",
    ),
    *("HF_TOKEN=", "--api-key ", "--max-model-len ", "32k ", "-tp=2 ", "-O", "--seed ", "--no-", "--", "-"),
    *(
        "services:\n",
        "  command: ",
        "- ",
        "ExecStart=",
        "[Service]\n",
        "CMD [",
        "FROM x\n",
        "export ",
        "cd /x\n",
    ),
    *("'", '"', "\\\n", "\n", "\\", "{", "}", "[", "]", "(", ")", "$(", "${A:-", "$A ", "`", "#", "```", ";"),
    *(
        "|",
        "&&",
        "<",
        ">",
        "=",
        ":",
        " ",
        "\0",
        "\x1b[",
        "“",
        "é",
        "0",
        "1,",
        "&a ",
        "*a ",
        "--compilation-config.",
    ),
)
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=60).map("".join)
REPEATED = (
    *(
        "a",
        "-",
        " ",
        "\\\n",
        "'",
        '"',
        "' \" ",
        "${",
        "$(",
        "`",
        "{",
        "({[",
        "--a ",
        "--a\n",
        "\n",
        "# \n",
        "```\n",
    ),
    *(
        "vllm serve x --a1 y\n",
        "vllm serve x\\\n",
        "vllm serve --no-such ",
        "docker run -e A=b vllm/x ",
        "A=b ",
    ),
    *(
        "--api-key x ",
        "- a\n",
        "a: b\n",
        "command: [",
        "*a ",
        "&a ",
        "ExecStart=vllm serve \\\n",
        "CMD [",
        "=(",
    ),
    *("\x1b[", "eyJ", "://a:", "<a", ">&", ";", "--x={'a':", "-O.", "--compilation-config.a.b=1 ", "&quot;"),
)


def judged(text: str) -> None:
    found = read(text, shipped())
    json.dumps([found.configuration, found.left_out, found.notes], allow_nan=False)
    args = found.configuration.get("args", {})
    assert judge_args(args, shipped(), lambda _path: None).errors == {}


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_any_text_is_read(text: str) -> None:
    judged(text)
    masked(text)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NUMBERS), st.data())
def test_a_case_with_a_part_cut_out_is_read(number: str, data: st.DataObject) -> None:
    text = case(number)
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    judged(text[:begin] + data.draw(st.text(max_size=3)) + text[end:])


@pytest.mark.parametrize("piece", REPEATED)
def test_a_text_as_long_as_may_be_comes_to_its_end(piece: str) -> None:
    judged((piece * (LONGEST // len(piece) + 1))[:LONGEST])


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve a/b --hf-overrides '" + "[" * 20_000 + "'",
        "vllm serve a/b --compilation-config '{" + "'a':[" * 5_000 + "'",
        "services:\n v:\n  image: vllm\n  command: --model a/b\n  k: " + "[a," * 10_000,
        "a: &a [x,x]\n" + "".join(f"b{n}: &b{n} [*{f'b{n - 1}' if n else 'a'},*a]\n" for n in range(40)),
        "vllm serve a/b " + " ".join(f"--zz{n}" for n in range(6_000)),
        "\n".join(f"export VLLM_A{n}=b" for n in range(2_500)) + "\nvllm serve a/b",
    ],
    ids=["brackets", "literal", "yaml", "aliases", "flags", "variables"],
)
def test_what_grows_without_end_is_read_within_limits(text: str) -> None:
    judged(text)


def test_more_than_can_be_read_is_said() -> None:
    found = read("vllm serve a/b --seed 3\n" + "x" * LONGEST, shipped())
    assert found.configuration["args"] == {"seed": 3}
    assert f"Only the first {LONGEST:,} characters were read." in found.notes


def test_names_that_stand_for_names_do_not_grow_without_end() -> None:
    lines = ["A0=aaaa", *(f"A{n}=$A{n - 1}$A{n - 1}" for n in range(1, 60)), "vllm serve $A59"]
    read = found("\n".join(lines))
    assert len(json.dumps([read.configuration, read.left_out, read.notes])) < 2_000_000
