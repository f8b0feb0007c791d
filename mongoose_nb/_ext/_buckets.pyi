from mongoose_nb._ext._store_base import StoreBase

class Core:
    n_tables: int
    n_buckets: int
    capacity: int | None
    policy: str
    seed: int

class BucketStore(StoreBase, Core):
    compiled: bool
