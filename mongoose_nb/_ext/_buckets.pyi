from mongoose_nb._ext._store_base import StoreBase

import numpy as np
from numpy.typing import ArrayLike

class Core:
    n_tables: int
    n_buckets: int
    capacity: int | None
    policy: str
    seed: int
    def insert(self, ids: ArrayLike, codes: ArrayLike) -> None: ...
    def remove(self, ids: ArrayLike, codes: ArrayLike) -> int: ...
    def move(self, ids: ArrayLike, old_codes: ArrayLike, new_codes: ArrayLike) -> int: ...

class BucketStore(StoreBase, Core):
    compiled: bool
