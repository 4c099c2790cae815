"""Caches whose keys are words of others: they are cleared when the work that fills them ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper, lru_cache
from typing import TypeVar

T = TypeVar("T")

TEXT_CACHES: list["_lru_cache_wrapper[object]"] = []


def remember_texts(maxsize: int) -> Callable[[Callable[..., T]], "_lru_cache_wrapper[T]"]:
    """Cache a pure function of texts until the block of `forgetting_texts` ends."""

    def decorate(function: Callable[..., T]) -> "_lru_cache_wrapper[T]":
        cached = lru_cache(maxsize)(function)
        TEXT_CACHES.append(cached)
        return cached

    return decorate


@contextmanager
def forgetting_texts() -> Iterator[None]:
    """Clear all caches of texts at the end; work at the same time only loses speed."""
    try:
        yield
    finally:
        for cache in TEXT_CACHES:
            cache.cache_clear()
