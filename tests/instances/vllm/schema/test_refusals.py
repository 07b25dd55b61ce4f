"""What is refused stays refused, however it is written (rows 36 to 39)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from instances.vllm.flags import refused_env
from instances.vllm.refusals import FIELDS, NESTED, REFUSED, REFUSED_ENVIRONMENT, SHORT
from instances.vllm.schema import shipped
from instances.vllm.schema.judging import Judged, judge_args

FLAGS = shipped()
SHUT = sorted((*REFUSED, *FIELDS))
OPEN = sorted(set(FLAGS.flags) - set(SHUT))
VALUES = st.sampled_from(["x", "1", "/etc/passwd", True, 7, ["a", "b"], {"a": 1}, '{"a": 1}'])


def outside(path: str) -> None:
    raise ValueError(f"{path} is outside.")


def judged(args: dict[str, Any]) -> Judged:
    return judge_args(args, FLAGS, outside)


@st.composite
def written(draw: st.DrawFn, name: str) -> str:
    """A spelling that vLLM, or somebody who tries, could use for this flag."""
    shorts = [short for short, long in SHORT.items() if long == name]
    if shorts and draw(st.sampled_from([True, False])):
        return draw(st.sampled_from(["", "-"])) + draw(st.sampled_from(shorts))
    letters = [
        draw(st.sampled_from(["-", "_"])) if one == "-" else draw(st.sampled_from([one, one.upper()]))
        for one in name
    ]
    dashes = draw(st.sampled_from(["", "-", "--", "---"]))
    no = draw(st.sampled_from(["", "no-", "no_", "NO-"]))
    tail = draw(st.sampled_from(["", "=x", "=", ".key", ".key.deeper", ".key+", ".key=x", "\n", " x", "\t"]))
    before = draw(st.sampled_from(["", " ", "\n"]))
    return before + dashes + no + "".join(letters) + tail


# row 36: flags that load code, open files or listen elsewhere
@given(st.data(), st.sampled_from(SHUT), VALUES)
def test_a_refused_flag_is_refused_in_every_spelling_with_its_reason(
    data: st.DataObject, name: str, value: Any
) -> None:
    spelling = data.draw(written(name))
    found = judged({spelling: value})
    assert found.args == {} and list(found.errors) == [spelling]
    reason = found.errors[spelling]
    assert reason.endswith((".", "?"))
    assert name in reason or (REFUSED.get(name) or FIELDS[name]) in reason or "given twice" in reason


@given(st.sampled_from(SHUT), st.integers(1, 40), VALUES, st.sampled_from(["", "-", "--"]))
def test_a_beginning_of_a_refused_flag_never_becomes_it(
    name: str, length: int, value: Any, dashes: str
) -> None:
    beginning = name[:length]
    found = judged({dashes + beginning: value})
    assert not set(found.args) & set(SHUT)
    assume(beginning not in FLAGS.flags and not FLAGS.find(dashes + beginning))
    assert found.errors


@given(
    st.dictionaries(
        st.one_of(
            st.sampled_from([*FLAGS.flags, *SHORT, *(f"no-{name}" for name in SHUT)]),
            st.text(alphabet="-_.=+ \nabcdehlmnoprstuvwx", max_size=12),
            st.tuples(st.sampled_from(sorted(NESTED)), st.text(alphabet="._abkcend", max_size=9)).map(
                ".".join
            ),
        ),
        VALUES,
        max_size=4,
    )
)
def test_whatever_is_written_only_whole_names_of_open_flags_come_out(args: dict[str, Any]) -> None:
    assert set(judged(args).args) <= set(OPEN)


@given(
    st.sampled_from([(flag, key) for flag, keys in NESTED.items() for key in keys]),
    st.sampled_from(["dotted", "underscored", "object", "text", "deeper"]),
)
def test_a_refused_key_inside_json_is_refused_in_every_form(place: tuple[str, str], form: str) -> None:
    flag, key = place
    forms: dict[str, dict[str, Any]] = {
        "dotted": {f"--{flag}.{key}": "x"},
        "underscored": {f"--{flag.replace('-', '_')}.{key.replace('_', '-')}": "x"},
        "object": {flag: {key: "x"}},
        "text": {flag: json.dumps({key: "x"})},
        "deeper": {f"{flag}.{key}.a.b+": "x"},
    }
    found = judged(forms[form])
    assert found.args == {} and found.errors


@pytest.mark.parametrize(
    "args",
    [
        {"-cc.backend": "os.system"},
        {"compilation_config": '{"backend": "os.system"}'},
        {"--compilation-conf.backend": "os.system"},
        {"speculative-config": {"model": "my.module.Class", "num_speculative_tokens": 1}},
        {"-sc.method": "custom_class"},
        {"hf_overrides.auto_map.AutoModel": "x.Y"},
        {"hf-overrides": '{"architectures": ["X"]}'},
        {"distributed_executor_backend": "ray"},
        {"distributed-executor-backend": "my.module.Executor"},
        {"cudagraph-capture-sizes": ["1", "--host", "0.0.0.0"]},
        {"cudagraph-capture-sizes": [1, -1.5]},
        {"chat-template": "a\nb"},
        {"chat-template": "a\0b"},
    ],
)
def test_a_value_that_loads_code_or_becomes_a_flag_is_refused(args: dict[str, Any]) -> None:
    assert judged(args).args == {} and judged(args).errors


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        ({"reasoning-parser": "qwen3"}, {"reasoning-parser": "qwen3"}),
        ({"data-parallel-size": 2}, {"data-parallel-size": 2}),
        ({"-dp": "2"}, {"data-parallel-size": 2}),
        ({"--data_parallel_size_local": "2"}, {"data-parallel-size-local": 2}),
        ({"load-format": "safetensors"}, {"load-format": "safetensors"}),
        ({"tool-call-parser": "hermes"}, {"tool-call-parser": "hermes"}),
        ({"enable-auto-tool-choice": True}, {"enable-auto-tool-choice": True}),
        ({"lora-modules": ["a=org/a"]}, {"lora-modules": ["a=org/a"]}),
        ({"tokenizer": "org/name"}, {"tokenizer": "org/name"}),
        ({"tokenizer-mode": "slow"}, {"tokenizer-mode": "slow"}),
        ({"revision": "main"}, {"revision": "main"}),
        ({"chat-template": "{% for m in messages %}{{ m.content }}{% endfor %}"}, None),
        ({"hf-overrides": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}}, None),
        ({"compilation-config": {"cudagraph_mode": "PIECEWISE"}}, None),
        ({"speculative-config": {"method": "ngram", "num_speculative_tokens": 5}}, None),
        ({"disable-log-stats": True}, {"disable-log-stats": True}),
        ({"uvicorn-log-level": "warning"}, {"uvicorn-log-level": "warning"}),
        ({"max-logprobs": 5}, {"max-logprobs": 5}),
        ({"distributed-executor-backend": "uni"}, {"distributed-executor-backend": "uni"}),
        ({"allowed-media-domains": ["example.org"]}, {"allowed-media-domains": ["example.org"]}),
        ({"seed": "-1"}, {"seed": -1}),
    ],
)
def test_harmless_neighbours_pass(args: dict[str, Any], kept: dict[str, Any] | None) -> None:
    found = judged(args)
    assert found.errors == {} and found.args == (args if kept is None else kept)


# row 37: environment, names compared without case
@given(st.sampled_from(sorted(REFUSED_ENVIRONMENT)), st.text("ABC_", max_size=4), st.data())
def test_a_refused_variable_is_refused_in_any_case(pattern: str, ending: str, data: st.DataObject) -> None:
    name = pattern.replace("*", ending)
    cased = "".join(data.draw(st.sampled_from([one.lower(), one.upper()])) for one in name)
    assert (refused_env(cased) or "").endswith(".")


@given(
    st.sampled_from(sorted(REFUSED_ENVIRONMENT)),
    st.sampled_from([" ", "=", "\n", "\0", "=x", "\t"]),
    st.booleans(),
)
def test_a_variable_cannot_hide_behind_what_is_no_name(pattern: str, extra: str, before: bool) -> None:
    name = pattern.replace("*", "X")
    assert refused_env(extra + name if before else name + extra)


@pytest.mark.parametrize(
    "name",
    [
        *("VLLM_LOGGING_LEVEL", "VLLM_USE_MODELSCOPE", "VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_OMP_THREADS_BIND"),
        *(
            "NCCL_DEBUG",
            "NCCL_P2P_DISABLE",
            "CUDA_LAUNCH_BLOCKING",
            "OMP_NUM_THREADS",
            "TOKENIZERS_PARALLELISM",
        ),
        *(
            "HF_HUB_OFFLINE",
            "PYTORCH_CUDA_ALLOC_CONF",
            "VLLM_WORKER_MULTIPROC_METHOD",
            "PATHS",
            "HOMEPAGE",
            "ENVIRONMENT",
        ),
    ],
)
def test_harmless_variables_pass(name: str) -> None:
    assert refused_env(name) is None


# row 38: paths inside the model roots only
PLACES: dict[str, Any] = {
    "chat-template": "{}",
    "tokenizer": "{}",
    "hf-config-path": "{}",
    "generation-config": "{}",
    "spec-model": "{}",
    "mm-encoder-fp8-scale-path": "{}",
    "lora-modules": ["a={}"],
    "default-mm-loras": {"audio": "{}"},
    "speculative-config": {"model": "{}", "num_speculative_tokens": 1},
    "mm-processor-kwargs": {"file": "{}"},
    "media-io-kwargs": {"video": {"file": "{}"}},
}


def filled(place: Any, path: str) -> Any:
    return json.loads(json.dumps(place).replace("{}", path))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../etc/passwd", "./x/../../y", "~/x", "~root/x", "a/../../b"]
)
@pytest.mark.parametrize("name", PLACES)
def test_a_path_outside_the_roots_is_refused_wherever_a_flag_takes_one(name: str, path: str) -> None:
    value = filled(PLACES[name], path)
    assert "is outside." in judged({name: value}).errors[name]


@pytest.mark.parametrize("name", PLACES)
def test_a_path_inside_the_roots_passes(name: str) -> None:
    seen: list[str] = []
    value = filled(PLACES[name], "/models/x")
    assert judge_args({name: value}, FLAGS, seen.append).args == {name: value}
    assert seen == ["/models/x"]


def test_lora_modules_are_looked_at_as_json_and_in_json_text() -> None:
    for value in (
        [{"name": "a", "path": "/etc"}],
        ['{"name": "a", "path": "/etc"}'],
        '[{"name": "a", "path": "/etc"}]',
    ):
        assert "outside" in judged({"lora-modules": value}).errors["lora-modules"]


def test_every_flag_that_sounds_like_a_file_is_judged_or_refused() -> None:
    """A new flag of this kind in the shipped schema turns this red until somebody has looked at it."""
    words = {
        "path",
        "dir",
        "file",
        "keyfile",
        "certfile",
        "template",
        "folder",
        "tokenizer",
        "modules",
        "loras",
    }
    sounding = {name for name in FLAGS.flags if words & set(name.split("-"))}
    harmless = {
        *("chat-template-content-format", "trust-request-chat-template", "default-chat-template-kwargs"),
        *("skip-tokenizer-init", "tokenizer-mode", "tokenizer-revision", "lora-target-modules"),
        *("enable-tokenizer-info-endpoint", "max-loras", "max-cpu-loras"),
        *("fully-sharded-loras", "enable-moe-shared-loras"),
    }
    assert sounding - set(SHUT) - set(PLACES) == harmless


# row 39: code of the model
@pytest.mark.parametrize(
    "spelling", ["trust-remote-code", "--trust_remote_code", "--trust-remote", "no-trust-remote-code"]
)
def test_remote_code_goes_through_its_own_field_alone(spelling: str) -> None:
    assert "field of its own" in judged({spelling: True}).errors[spelling]
