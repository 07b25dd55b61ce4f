"""What a model is for, told by a hub's word for it or by its files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from instances.vllm.fit.values import mapping

Task = Literal["generate", "embed", "rerank", "classify", "unknown"]

OF_HUBS: dict[str, Task] = {
    "text-generation": "generate",
    "text2text-generation": "generate",
    "image-text-to-text": "generate",
    "any-to-any": "generate",
    "audio-text-to-text": "generate",
    "video-text-to-text": "generate",
    "feature-extraction": "embed",
    "sentence-similarity": "embed",
    "text-ranking": "rerank",
    "text-classification": "classify",
    "token-classification": "classify",
    "zero-shot-classification": "classify",
    # ModelScope's own words
    "chat": "generate",
    "sentence-embedding": "embed",
    "text-embedding": "embed",
    "text-reranking": "rerank",
}
GENERATE = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForVision2Seq", "ForImageTextToText")
CLASSIFY = ("ForSequenceClassification", "ForTokenClassification")
EMBED = ("Model", "ForMaskedLM")  # an encoder alone
SENTENCES = ("modules.json", "1_Pooling")  # what sentence-transformers writes beside the weights


def of_words(words: Iterable[str]) -> Task:
    """The first of a hub's words that is known."""
    return next((OF_HUBS[word] for word in words if word in OF_HUBS), "unknown")


def of_files(name: str, architecture: str, config: Mapping[str, Any], files: Collection[str]) -> Task:
    """By the architecture, and by the name where one architecture serves several tasks, as Qwen3's does."""
    if architecture.endswith(CLASSIFY):
        return "rerank" if "rerank" in name.lower() or _has_one_label(config) else "classify"
    if "rerank" in name.lower():
        return "rerank"
    if any(one in files for one in SENTENCES) or "embedding" in name.lower():
        return "embed"
    if architecture.endswith(GENERATE) or (not architecture and "params.json" in files):
        return "generate"
    return "embed" if architecture.endswith(EMBED) else "unknown"


def _has_one_label(config: Mapping[str, Any]) -> bool:
    """One score for a pair of texts is what a reranker gives."""
    return config.get("num_labels") == 1 or len(mapping(config.get("id2label"))) == 1
