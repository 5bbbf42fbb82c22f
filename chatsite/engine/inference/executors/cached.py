"""What all executors do alike: keep the running groups in a KV cache."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from chatsite.engine.inference.executor import SequenceGroup
from chatsite.engine.inference.kv_cache.manager import KVCacheManager
from chatsite.engine.inference.kv_cache.pool import CacheShape, KVCachePool


class CachedExecutor:
    """Base of the executors, which keeps the running groups in `pool_count` pools for each number of beams.

    The first pool holds what was written, a second one what an encoder has read. `like` is a tensor of the kind and
    device that keys and values have.
    """

    def __init__(self, shape: CacheShape, like: Tensor, pool_count: int) -> None:
        # It holds no rows; it only says how large caches of a length are, and makes those that prompts are read into.
        self._sizing_pool = KVCachePool(shape, like)
        self._kv_cache = KVCacheManager(lambda: [KVCachePool(shape, like) for _ in range(pool_count)], like)

    @property
    def running_groups(self) -> list[SequenceGroup]:
        """The running groups, in the order of their cache rows."""
        return self._kv_cache.running_groups

    def commit_step(self, group: SequenceGroup) -> None:
        """Count the tokens of the last step as read."""
        self._kv_cache.commit_step(group)

    def reorder_beams(self, group: SequenceGroup, parents: Sequence[int]) -> None:
        """Let beam `i` go on from what beam `parents[i]` has read."""
        self._kv_cache.reorder_beams(group, parents)

    def free_group(self, group: SequenceGroup) -> None:
        """Free the cache row of a group, if it has one; the last row moves there."""
        self._kv_cache.remove_group(group)
