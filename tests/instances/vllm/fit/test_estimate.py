from __future__ import annotations

from typing import Any

import pytest

from instances.vllm.fit.estimate import Correction, Estimate, Model, describe, estimate
from instances.vllm.fit.room import Place, Room
from instances.vllm.fit.settings import Settings

from .made import GIB, QWEN3_8B, gpu, gpus, ram

MODEL = Model(QWEN3_8B)


def on_gpu(room: Room | None = None, correction: Correction | None = None, **settings: Any) -> Estimate:
    return estimate(MODEL, Settings(**settings), room or gpus(), correction)


def on_cpu(room: Room, **settings: Any) -> Estimate:
    chosen: dict[str, Any] = {"accelerator": "cpu", "cache_bytes": GIB, "in_flight": 1} | settings
    return estimate(MODEL, Settings(**chosen), room)


def codes(found: Estimate) -> list[str]:
    return [one.code for one in found.objections]


def test_it_fits_with_numbers() -> None:
    found = on_gpu(gpus(gpu(total=48)), context=8192)
    assert found.verdict == "fits" and found.reasons == ()
    assert found.weights_whole == 16_381_470_720
    assert found.per_token == 147_456
    (load,) = found.loads
    assert load.weights + load.cache + load.working == load.budget == int(48 * GIB * 0.92)
    assert found.largest == 40960
    assert found.tokens is not None and found.summary.startswith(f"Room for {found.tokens:,} tokens: ")
    assert "full contexts of 8,192 at once" in found.summary


def test_it_just_fits() -> None:
    largest = on_gpu(context=40960).largest
    assert largest is not None
    found = on_gpu(context=largest)
    assert found.verdict == "tight"
    assert "one full context of" in found.summary


def test_a_context_that_does_not_fit_is_told_with_what_does() -> None:
    found = on_gpu(context=40960)
    assert (found.verdict, codes(found)) == ("no", ["context-too-long"])
    assert found.reasons[0].startswith("A context of 40,960 tokens needs 5.6 GiB of KV cache, ")
    assert found.largest is not None and 16384 < found.largest < 40960
    assert found.largest % 16 == 0
    assert found.impossible


def test_the_largest_context_does_fit_and_one_block_more_does_not() -> None:
    largest = on_gpu(context=40960).largest
    assert largest is not None
    assert on_gpu(context=largest).verdict in ("tight", "fits")
    assert on_gpu(context=largest + 16).verdict == "no"


def test_weights_that_are_larger_than_the_gpu_are_impossible() -> None:
    found = on_gpu(gpus(gpu(total=12)))
    assert (found.verdict, codes(found)[0], found.impossible) == ("no", "weights", True)
    assert "15.3 GiB" in found.reasons[0] and "12.0 GiB of GPU 0" in found.reasons[0]


def test_what_others_hold_can_not_be_taken() -> None:
    found = on_gpu(gpus(gpu(total=48, held=20)), context=8192)
    assert (found.verdict, codes(found), found.impossible) == ("no", ["held-by-others"], False)
    assert found.reasons == (
        "Others hold 20.0 GiB of the 48.0 GiB of GPU 0, so a share of 92% cannot be taken.",
    )


def test_a_share_that_holds_the_weights_alone_leaves_no_cache() -> None:
    found = on_gpu(gpus(gpu(total=48)), share=0.33)
    assert codes(found) == ["no-room-for-cache"]


def test_a_cache_of_a_fixed_size_is_held_against_what_is_free() -> None:
    assert on_gpu(gpus(gpu(total=48, held=4)), cache_bytes=8 * GIB, context=8192).verdict == "fits"
    assert codes(on_gpu(gpus(gpu(total=48, held=30)), cache_bytes=8 * GIB, context=8192)) == ["memory"]


def test_the_fullest_of_several_gpus_decides() -> None:
    found = on_gpu(gpus(gpu(0, 48), gpu(1, 48, held=30)), tensor_parallel=2, context=8192)
    assert codes(found) == ["held-by-others"] and "GPU 1" in found.reasons[0]


def test_heads_that_cannot_be_split_are_told() -> None:
    found = on_gpu(gpus(*(gpu(index) for index in range(3))), tensor_parallel=3, context=8192)
    assert (found.verdict, codes(found), found.impossible) == ("no", ["heads"], True)
    assert found.reasons[0] == "Its 32 attention heads cannot be split evenly over 3 GPUs; vLLM refuses that."


@pytest.mark.parametrize(
    ("chosen", "code", "sentence"),
    [
        ((), "too-few-gpus", "It is to use 4 GPUs, and 2 GPUs are here."),
        (("0", "1", "2", "3"), "too-few-gpus", "It is to use 4 GPUs, and 2 GPUs are here."),
    ],
)
def test_more_ranks_than_gpus_are_told(chosen: tuple[str, ...], code: str, sentence: str) -> None:
    found = on_gpu(gpus(gpu(0), gpu(1)), tensor_parallel=4, gpus=chosen)
    assert (found.verdict, codes(found)[0], found.reasons[0]) == ("no", code, sentence)


def test_too_few_chosen_gpus_are_told() -> None:
    found = on_gpu(gpus(gpu(0), gpu(1)), tensor_parallel=2, gpus=("1",))
    assert found.reasons[0] == "It is to use 2 GPUs, and one is chosen."


def test_a_gpu_that_is_not_here_is_told() -> None:
    found = on_gpu(gpus(gpu(0)), gpus=("7",))
    assert found.reasons[0] == "A GPU was chosen that is not here: there are GPU 0."


def test_a_gpu_is_chosen_by_its_number_or_its_name() -> None:
    room = gpus(gpu(0, 12), gpu(1, 48))
    for chosen in ("1", "GPU-uuid-1"):
        (load,) = on_gpu(room, gpus=(chosen,), context=8192).loads
        assert load.place.index == 1


def test_a_context_beyond_the_models_is_reckoned_with_the_models() -> None:
    found = on_gpu(gpus(gpu(total=48)), context=262144)
    assert (found.verdict, codes(found)) == ("no", ["context-beyond-model"])
    assert found.reasons[0] == "This model knows 40,960 tokens at most, 262,144 were asked for."
    assert (found.context, found.asked_context, found.largest) == (40960, 262144, 40960)


def test_a_longer_context_may_be_allowed() -> None:
    found = on_gpu(gpus(gpu(total=80)), context=262144, beyond_model=True)
    assert found.context == 262144 and "context-beyond-model" not in codes(found)


def test_a_context_left_to_the_engine_is_the_largest() -> None:
    found = on_gpu(fits_itself=True)
    assert found.verdict == "tight" and found.context == found.largest


def test_ram_holds_weights_cache_and_the_process() -> None:
    found = on_cpu(ram(32, 24), context=4096)
    assert found.verdict == "fits"
    (load,) = found.loads
    assert (load.cache, load.budget) == (GIB, 0)
    assert 16.5 * GIB < load.taken < 20 * GIB
    assert found.need == load.taken


def test_too_little_ram_now_is_not_the_same_as_too_little_ram() -> None:
    now, ever = on_cpu(ram(32, 10), context=4096), on_cpu(ram(15, 14), context=4096)
    assert codes(now) == codes(ever) == ["ram"]
    assert (now.impossible, ever.impossible) == (False, True)
    assert "10.0 GiB of 32.0 GiB are free" in now.reasons[0]


def test_a_small_cache_on_a_cpu_does_not_hold_a_long_context() -> None:
    found = on_cpu(ram(64, 60), context=32768)
    assert codes(found) == ["context-too-long"] and found.largest == (GIB // (128 * 147_456) - 1) * 128


def test_every_copy_of_the_model_takes_ram() -> None:
    one, two = on_cpu(ram(64, 60)), on_cpu(ram(64, 60), data_parallel=2)
    assert two.loads[0].weights == 2 * one.loads[0].weights
    assert two.loads[0].cache == 2 * GIB


def test_memory_that_gpu_and_system_share_is_named() -> None:
    """GB10: the driver has no figure, RAM is the room."""
    shared = Place("GPU 0", 121 * GIB, 20 * GIB, (), 0, "", "NVIDIA GB10", shared=True)
    found = on_gpu(gpus(shared), context=8192)
    assert codes(found) == ["held-by-others"] and "the RAM that GPU 0 shares" in found.reasons[0]


def test_without_room_to_look_at_it_is_not_known_but_the_need_is() -> None:
    found = on_gpu(Room(reason="The driver is gone."), context=8192)
    assert (found.verdict, found.reasons) == ("unknown", ("The driver is gone.",))
    assert found.weights is not None and found.need is not None


def test_a_shape_that_cannot_be_told_is_not_known() -> None:
    found = estimate(Model({"model_type": "odd"}), Settings(), gpus())
    assert found.verdict == "unknown" and codes(found) == ["shape"] and not found.impossible


def test_a_model_without_a_cache_needs_its_weights_alone() -> None:
    found = estimate(Model(QWEN3_8B | {"model_type": "bert"}), Settings(), gpus(gpu(total=24)))
    assert found.verdict == "fits" and found.cache_need == 0
    assert found.summary == "It keeps no KV cache: memory does not grow with the length of texts."


def test_an_override_of_the_config_counts() -> None:
    found = on_gpu(gpus(gpu(total=80)), context=65536, overrides={"max_position_embeddings": 65536})
    assert found.verdict == "fits"


def test_what_was_measured_corrects_the_estimate() -> None:
    plain = on_gpu(gpus(gpu(total=48)), context=8192)
    found = on_gpu(gpus(gpu(total=48)), Correction(weights=15 * GIB, working=2 * GIB), context=8192)
    assert (found.weights, found.working, found.corrected) == (15 * GIB, 2 * GIB, True)
    assert not plain.corrected


def test_a_place_is_told_in_words() -> None:
    (load,) = on_gpu(gpus(gpu(total=48, held=2)), context=8192, share=0.5).loads
    words = describe(load)
    assert words.startswith("GPU 0: weights 15.3 GiB, KV cache ")
    assert "others 2.0 GiB, free 22.0 GiB of 48.0 GiB" in words
