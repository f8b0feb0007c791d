"""Keys and values of earlier tokens, and which of them to forget.

- `cache`: `KVCache`, for one sequence and one layer
- `eviction`: the abstraction `Eviction`; `keep_all`, `window`, `random_choice`, `heavy_hitters`, `scissorhands`: one policy each
- `quantised`: arrays of rows in 8 or 4 bits
"""

from mongoose_nb.attention.caches.cache import KVCache
from mongoose_nb.attention.caches.eviction import Eviction
from mongoose_nb.attention.caches.heavy_hitters import HeavyHitters
from mongoose_nb.attention.caches.keep_all import KeepAll
from mongoose_nb.attention.caches.random_choice import RandomChoice
from mongoose_nb.attention.caches.scissorhands import Scissorhands
from mongoose_nb.attention.caches.window import Window

__all__ = ["Eviction", "HeavyHitters", "KVCache", "KeepAll", "RandomChoice", "Scissorhands", "Window"]
