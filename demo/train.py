"""Makes `tiny-chat/`, the demo model, from the text of `dialogues.py`: tokenizer, weights, settings.

    ENGINE_PYTHON demo/train.py [--steps 1000] [--out demo/tiny-chat]

ENGINE_PYTHON is the Python beside an installed `vllm` command: it has torch, transformers and tokenizers.
Seeds are fixed: on one kind of machine two runs give the same weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # set before torch: waiting threads must not spin

import torch
from dialogues import UNKNOWN, Speaker
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 2048
LONGEST = 1024  # tokens: what the preset serves
END, END_OF_TEXT = "<|end|>", "<|endoftext|>"
USER, ASSISTANT, SYSTEM = "<|user|>", "<|assistant|>", "<|system|>"
SPECIAL = [END_OF_TEXT, END, USER, ASSISTANT, SYSTEM]
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"  # no long numbers
TEMPLATE = (
    "{% for message in messages %}"
    "{% set role = message['role'] if message['role'] in ['system', 'assistant'] else 'user' %}"
    "{{ '<|' + role + '|>' + (message['content'] or '') | trim + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# Row lengths in tokens, step by step: short rows teach first answers, long ones long conversations.
ROWS = [64, 160, 64, 320, 64, 160, 64, LONGEST]
TOKENS_A_STEP = 1536
IGNORED = -100  # not a target


def make_tokenizer() -> Tokenizer:
    """A byte-level BPE that has learned from the same text, so that common words are one token."""
    speaker = Speaker(seed=1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    known = (turn for turn in speaker.turns() if turn.answer != UNKNOWN)  # no piece for what means nothing
    text = [part for turn in itertools.islice(known, 20_000) for part in (turn.question, turn.answer)]
    tokenizer.train_from_iterator([*text, *[" ".join(speaker.plain)] * 200], trainer)
    return tokenizer


class Rows:
    """Token rows to learn from, with targets only where the model speaks: its answers, and plain text."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self.tokenizer = tokenizer
        self.speaker = Speaker(seed)
        self.special = {token: tokenizer.token_to_id(token) for token in SPECIAL}

    def talk(self) -> Iterator[tuple[int, bool]]:
        """Tokens of one conversation, each with whether it is a target."""
        if self.speaker.rng.random() < 0.1:
            yield from self.said(SYSTEM, self.speaker.system_prompt())
        for turn in self.speaker.turns():
            yield from self.said(USER, turn.question)
            yield from self.said(ASSISTANT, turn.answer)

    def said(self, role: str, text: str) -> Iterator[tuple[int, bool]]:
        ours = role == ASSISTANT
        yield self.special[role], False
        yield from ((token, ours) for token in self.tokenizer.encode(text).ids)
        yield self.special[END], ours

    def prose(self) -> Iterator[tuple[int, bool]]:
        """Tokens of one piece of plain text, padded with the end of text."""
        yield from ((token, True) for token in self.tokenizer.encode(self.speaker.prose(words=50)).ids)
        yield self.special[END_OF_TEXT], True
        yield from itertools.repeat((self.special[END_OF_TEXT], False))

    def drill(self) -> Iterator[tuple[int, bool]]:
        """Tokens of bare results, such as "2 + 3 = 5.", one after the other."""
        for given, result in self.speaker.drill():
            yield from ((token, False) for token in self.tokenizer.encode(given).ids)
            yield from ((token, True) for token in self.tokenizer.encode(result).ids)
            yield self.special[END], True

    def batch(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """`(tokens, targets)`, both of shape (rows, length); a target is the next token, or IGNORED."""
        rows, targets = [], []
        for _ in range(TOKENS_A_STEP // length):
            kinds = [self.talk, self.prose, self.drill] if length == min(ROWS) else [self.talk]
            stream = self.speaker.rng.choices(kinds, [6, 1, 3][: len(kinds)])[0]()
            pairs = list(itertools.islice(stream, length + 1))
            rows.append([token for token, _ in pairs[:-1]])
            targets.append([token if wanted else IGNORED for token, wanted in pairs[1:]])
        return torch.tensor(rows), torch.tensor(targets)


def make_model() -> Qwen2ForCausalLM:
    """A Qwen2 of about one million weights, with random ones."""
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=SPECIAL.index(END),
        pad_token_id=SPECIAL.index(END_OF_TEXT),
    )
    return Qwen2ForCausalLM(config)


class Muon:
    """Momentum steps with directions made orthogonal (K. Jordan, 2024): far fewer are needed than with Adam.

    For weight matrices alone; matrices of one shape are handled together.
    """

    def __init__(self, matrices: list[torch.nn.Parameter], momentum: float = 0.95) -> None:
        self.momentum = momentum
        self.families: dict[tuple[int, ...], list[torch.nn.Parameter]] = {}
        for matrix in matrices:
            self.families.setdefault(tuple(matrix.shape), []).append(matrix)
        self.moving = {shape: torch.zeros(len(family), *shape) for shape, family in self.families.items()}

    def step(self, rate: float) -> None:
        """Moves every matrix along its direction by `rate`, and clears the gradients."""
        with torch.no_grad():
            for (high, wide), family in self.families.items():
                gradients = torch.stack([matrix.grad for matrix in family if matrix.grad is not None])
                moving = self.moving[high, wide].lerp_(gradients, 1 - self.momentum)
                directions = orthogonal(gradients.lerp(moving, self.momentum))
                for matrix, direction in zip(family, directions, strict=True):
                    matrix.sub_(direction, alpha=rate * max(1.0, high / wide) ** 0.5)
                    matrix.grad = None


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest matrices with singular values of about 1, by Newton-Schulz steps. Shape (n, high, wide)."""
    if matrices.shape[-2] > matrices.shape[-1]:
        return orthogonal(matrices.mT).mT
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


def learn(model: Qwen2ForCausalLM, rows: Rows, steps: int) -> None:
    """Trains `model` in place: a short warm-up, then a straight line down to nothing.

    Raises SystemExit when the loss is no longer a number.
    """
    embedding = model.get_input_embeddings().weight  # also the output, which is tied to it
    matrices = [weight for weight in model.parameters() if weight.ndim == 2 and weight is not embedding]
    others = [weight for weight in model.parameters() if weight.ndim == 1 or weight is embedding]
    muon = Muon(matrices)
    adam = torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.97), weight_decay=0.0, fused=True)
    began = time.monotonic()
    for step in range(steps):
        share = min((step + 1) / 40, (steps - step) / (steps - 40))
        tokens, targets = rows.batch(ROWS[step % len(ROWS)])
        hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state
        wanted = targets != IGNORED  # the widest product only where it counts
        loss = cross_entropy(model.lm_head(hidden[wanted]), targets[wanted])
        if not math.isfinite(loss.item()):
            raise SystemExit(f"The loss is {loss.item()} at step {step}: nothing was saved.")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        adam.param_groups[0]["lr"] = 0.004 * share
        adam.step()
        adam.zero_grad()
        muon.step(0.02 * share)
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step:4}  loss {loss.item():.3f}  {time.monotonic() - began:4.0f} s", flush=True)


def save(model: Qwen2ForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes weights in bfloat16, the tokenizer with its chat template, and how to choose tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": LONGEST,
        "eos_token": END,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
    choosing = {
        "eos_token_id": [SPECIAL.index(END), SPECIAL.index(END_OF_TEXT)],
        "pad_token_id": SPECIAL.index(END_OF_TEXT),
        "do_sample": True,
        "temperature": 0.2,
        "top_p": 0.9,
        "top_k": 20,
    }
    for name, content in [("tokenizer_config", settings), ("generation_config", choosing)]:
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the tiny demo model.")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("tiny-chat"))
    options = parser.parse_args()
    torch.manual_seed(7)
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    tokenizer = make_tokenizer()
    model = make_model()
    print(f"{sum(weight.numel() for weight in model.parameters()):,} weights", flush=True)
    learn(model, Rows(tokenizer, seed=2), options.steps)
    save(model, tokenizer, options.out)
    print(f"saved in {options.out}")


if __name__ == "__main__":
    main()
