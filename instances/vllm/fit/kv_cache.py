"""What the KV cache takes, counted as vLLM counts it.

vLLM gives out blocks. Layers of one kind form groups of equally many layers; a block of any group has the same
size, so that all groups can draw from one pool. A request takes the blocks of every group: with the length of
its text in layers that keep everything, up to the window in layers that have one, one block in layers with a state.
One block of the pool is never given out.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import kinds
from .architecture import WIDTHS, Cache, Facts
from .settings import BLOCKS, LATENT_BLOCKS, Settings
from .values import up
from .weights import serving_dtype

# Bytes of one number in the cache, and of what is kept beside each head's keys or values.
SMALL = {
    "fp8": (1.0, 0),
    "fp8_e4m3": (1.0, 0),
    "fp8_e5m2": (1.0, 0),
    "fp8_inc": (1.0, 0),
    "fp8_per_token_head": (1.0, 4),
    "int8_per_token_head": (1.0, 4),
    "int4_per_token_head": (0.5, 4),
    "nvfp4": (0.5 + 1 / 16, 0),
    "nvfp4_4over6": (0.5 + 1 / 16, 0),
}


@dataclass(frozen=True)
class Group:
    """Layers that share a table of blocks."""

    kind: str
    block: int  # tokens
    window: int = 0  # tokens, with those of steps under way

    def blocks(self, context: int) -> int:
        """That one request of this length takes at most."""
        if self.kind == kinds.STATE:
            return 1
        if self.kind in (kinds.WINDOW, kinds.CHUNK):
            return up(min(self.window, context), self.block) + (self.kind == kinds.WINDOW)
        return up(context, self.block)


@dataclass(frozen=True)
class KvCache:
    """The cache of one GPU (or of one rank on a CPU). Without groups, the model keeps nothing."""

    groups: tuple[Group, ...]
    pool_block: int  # bytes of one block of the pool: of all layers of a group together
    per_token: int  # bytes of a token that every layer still keeps
    per_token_long: int  # of one that layers with a window have forgotten
    block: int  # tokens of the largest group's block

    def need(self, context: int) -> int:
        """Bytes with which one request of this length can be served."""
        if not self.groups:
            return 0
        return self.pool_block * (self._blocks(context) + 1)

    def blocks_in(self, room: int) -> int:
        return max(room, 0) // self.pool_block if self.pool_block else 0

    def sequences(self, room: int, context: int) -> float:
        """How many requests of this length fit at once, as vLLM logs it."""
        taken = self._blocks(context)
        return self.blocks_in(room) / taken if taken else 0.0

    def tokens(self, room: int, context: int) -> int:
        """The size in tokens that vLLM logs."""
        return int(self.sequences(room, context) * context)

    def largest(self, room: int, most: int) -> int:
        """The longest context that fits, up to `most`; below that, whole blocks. 0: not even one block."""
        if not self.groups or self.need(most) <= room:
            return most
        low, high = 0, most
        while low < high:  # need() only grows
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.need(middle) <= room else (low, middle - 1)
        return low // self.block * self.block

    def _blocks(self, context: int) -> int:
        return sum(group.blocks(context) for group in self.groups)


NOTHING = KvCache((), 0, 0, 0, 1)


@dataclass(frozen=True)
class _Layers:
    """Layers of one kind, of one rank: bytes of one token in one layer, or of a whole state."""

    cache: Cache
    layers: int
    token: int
    state: int = 0


def kv_cache_of(facts: Facts, settings: Settings) -> KvCache:
    found = [_layers(facts, cache, settings) for cache in facts.caches]
    found = [one for one in found if one.layers and (one.token or one.state)]
    if not found:
        return NOTHING
    if settings.plain_windows or any(one.cache.kind == kinds.CHUNK for one in found):
        found = _without_windows(found)
    attention = [one for one in found if not one.state]
    per_token = sum(one.layers * one.token for one in attention)
    long = sum(one.layers * one.token for one in attention if not one.cache.window)
    largest_state = max((one.state for one in found), default=0)
    block = _block(facts, settings, max((one.token for one in attention), default=0), largest_state)
    page = max([one.token * block for one in attention] + [largest_state])
    size = _group_size([one.layers for one in found])
    groups: list[Group] = []
    for one in found:
        own = block
        if one.token and page % (one.token * block) == 0:
            own = page // one.token  # smaller keys, more tokens in a block
        window = _window(one.cache, settings)
        groups += [Group(one.cache.kind, own, window)] * up(one.layers, size)
    return KvCache(tuple(groups), page * size, per_token, long, max(group.block for group in groups))


def per_token_whole(facts: Facts, settings: Settings) -> int:
    """Bytes of a token on all GPUs together, heads that are kept twice counted once."""
    found = [_token(facts, cache, settings, cache.heads) * cache.layers for cache in facts.caches]
    return sum(found)


def cache_width(facts: Facts, settings: Settings) -> tuple[float, int]:
    """Bytes of a number, and of what stands beside each head's keys or values."""
    asked = settings.cache_dtype
    if asked == "auto" and facts.quantization and facts.quantization.cache:
        asked = facts.quantization.cache
    if asked in SMALL:
        return SMALL[asked]
    return float(WIDTHS[asked if asked in WIDTHS else serving_dtype(facts, settings)]), 0


def _layers(facts: Facts, cache: Cache, settings: Settings) -> _Layers:
    layers = up(cache.layers, settings.pipeline_parallel)
    if cache.kind == kinds.STATE:
        width = WIDTHS[serving_dtype(facts, settings)]
        state = cache.conv * width + cache.state * (4 if cache.wide_state else width)
        return _Layers(cache, layers, 0, up(state, settings.tensor_parallel))
    heads = cache.heads if cache.kind == kinds.LATENT else max(cache.heads // settings.tensor_parallel, 1)
    return _Layers(cache, layers, _token(facts, cache, settings, heads))


def _token(facts: Facts, cache: Cache, settings: Settings, heads: int) -> int:
    """Bytes of one token in one layer."""
    if cache.kind == kinds.STATE:
        return 0
    width, beside = cache_width(facts, settings)
    if cache.kind == kinds.LATENT:
        return int(cache.width * width)
    return heads * (int(cache.width * width) + 2 * beside)


def _without_windows(found: list[_Layers]) -> list[_Layers]:
    """Every layer keeps everything, when some layer does: then one table of blocks serves all."""
    if not any(one.cache.kind in (kinds.FULL, kinds.LATENT) for one in found):
        return found
    plain: list[_Layers] = []
    for one in found:
        if one.cache.window:
            one = _Layers(
                Cache(kinds.FULL, one.layers, one.cache.heads, one.cache.width), one.layers, one.token
            )
        same = next(
            (other for other in plain if (other.cache.kind, other.token) == (one.cache.kind, one.token)), 0
        )
        if isinstance(same, _Layers) and not one.state:
            plain.remove(same)
            one = _Layers(one.cache, one.layers + same.layers, one.token)
        plain.append(one)
    return plain


def _group_size(counts: list[int]) -> int:
    """Layers of one group: the fewest of any kind, unless all kinds have about equally many."""
    fewest, most = min(counts), max(counts)
    return most if most < fewest * 1.5 else fewest


def _block(facts: Facts, settings: Settings, token: int, state: int) -> int:
    """Tokens of a block; beside layers with a state it is made large enough to hold one."""
    latent = any(cache.kind == kinds.LATENT for cache in facts.caches)
    block = settings.block or (LATENT_BLOCKS if latent else BLOCKS)[settings.accelerator]
    if latent and settings.accelerator == "cpu":
        block = LATENT_BLOCKS["cpu"]
    if not token or token * block >= state:
        return block
    return up(state, token * block) * block


def _window(cache: Cache, settings: Settings) -> int:
    """Tokens that are held at most: the window, and those of the steps under way."""
    if not cache.window:
        return 0
    before = cache.window - 1 if cache.kind == kinds.WINDOW else cache.window
    return before + settings.in_flight * settings.step[0]
