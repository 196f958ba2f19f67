"""How fast is the cache of vectors compared with bare LMDB, and with a file for each item?

LMDB (`pip install lmdb`) has no limit of size here and keeps no order of use. A file for each item
is the least of what joblib.Memory does. Each is closed after writing and read by a new one. What a
warm encoder also needs, the digests of its items, comes last.
"""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from skmm.encoding import EmbeddingCache
from skmm.encoding.cache import FileDigests, digest_file, digest_item

N_ITEMS, N_FEATURES = 120_000, 384
N_FILES = 5_000
N_PUT, N_GET = 256, 10_000  # keys at a time
N_RUNS = 3


class LMDB:
    def __init__(self, folder):
        import lmdb

        self._file = lmdb.open(str(folder), map_size=2**33, sync=False)

    def put_many(self, keys, vectors):
        items = [(key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)]
        with self._file.begin(write=True) as transaction:
            transaction.cursor().putmulti(items)

    def get_many(self, keys):
        with self._file.begin() as transaction:
            found = dict(transaction.cursor().getmulti(keys))
        return [np.frombuffer(found[key], dtype=np.float32) for key in keys]


class Files:
    def __init__(self, folder):
        self._folder = folder

    def put_many(self, keys, vectors):
        for key, vector in zip(keys, vectors, strict=True):
            (self._folder / key.hex()).write_bytes(vector.tobytes())

    def get_many(self, keys):
        return [np.fromfile(self._folder / key.hex(), dtype=np.float32) for key in keys]


def put(cache, keys, vectors) -> None:
    for start in range(0, len(keys), N_PUT):
        cache.put_many(keys[start : start + N_PUT], vectors[start : start + N_PUT])


def get(cache, keys) -> None:
    for start in range(0, len(keys), N_GET):
        cache.get_many(keys[start : start + N_GET])


def digest_files(paths, cache) -> None:
    with FileDigests(cache).load(paths) as files:
        for path in paths:
            digest_file(path, files)


def measure(what: str, n_items: int, function, *arguments, than: float | None = None) -> float:
    """Print and return the items a second, the median of some runs."""
    runs = []
    for _ in range(N_RUNS):
        start = perf_counter()
        function(*arguments)
        runs.append(n_items / (perf_counter() - start))
    ratio = "" if than is None else f"   {median(runs) / than:6.2f} x LMDB"
    print(f"{what:32}{median(runs):11,.0f} /s   ({min(runs):,.0f} to {max(runs):,.0f}){ratio}")
    return median(runs)


def main() -> None:
    texts = [f"a short text, the {i}th of many" for i in range(N_ITEMS)]
    keys = [digest_item(text) for text in texts]
    vectors = np.random.default_rng(0).standard_normal((N_ITEMS, N_FEATURES), dtype=np.float32)
    backends = {"LMDB": LMDB} if find_spec("lmdb") else {}
    backends |= {"EmbeddingCache, disk": EmbeddingCache, "a file an item": Files}
    put_rate = get_rate = None
    with tempfile.TemporaryDirectory() as folder:
        for name, backend in backends.items():
            place = Path(folder, name)
            place.mkdir()
            puts = measure(
                f"put  {name}", N_ITEMS, put, backend(place), keys, vectors, than=put_rate
            )
            reader = backend(place)
            np.testing.assert_array_equal(np.stack(reader.get_many(keys[-99:])), vectors[-99:])
            gets = measure(f"get  {name}", N_ITEMS, get, reader, keys, than=get_rate)
            if name == "LMDB":
                put_rate, get_rate = puts, gets
        memory = EmbeddingCache()
        measure("put  EmbeddingCache, memory", N_ITEMS, put, memory, keys, vectors)
        measure("get  EmbeddingCache, memory", N_ITEMS, get, memory, keys)

        measure("digest texts", N_ITEMS, lambda: [digest_item(text) for text in texts])
        paths = [os.path.join(folder, f"{i}.bin") for i in range(N_FILES)]
        for path in paths:
            Path(path).write_bytes(os.urandom(20_000))
            os.utime(path, (0, 0))
        measure("digest files of 20 kB, unknown", N_FILES, digest_files, paths, None)
        on_disk = EmbeddingCache(Path(folder, "EmbeddingCache, disk"))
        digest_files(paths, on_disk)
        measure("digest files, known on disk", N_FILES, digest_files, paths, on_disk)


if __name__ == "__main__":
    main()
