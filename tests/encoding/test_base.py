"""What every encoder owes to its base, shown with modules of torch that are quick and count."""

import copy
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import PIL
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from skmm.encoding import EmbeddingCache, TorchEncoder
from skmm.image import ImageDescriptor

N_CHARACTERS = 8


class Letters(torch.nn.Module):
    """A linear map of the first characters, which may take its time."""

    def __init__(self, seed=0, seconds=0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(N_CHARACTERS, 3, generator=generator, dtype=torch.float64)
        self.register_buffer("weight", weight)
        self.seconds = seconds

    def forward(self, numbers):
        time.sleep(self.seconds)
        return numbers @ self.weight


def to_numbers(text):
    codes = [ord(character) for character in text[:N_CHARACTERS]]
    return np.array(codes + [0] * (N_CHARACTERS - len(codes)), dtype=np.float64) / 128


@pytest.fixture
def counted():
    """Return a module, and the list of how many items each of its batches had."""
    batches = []

    def count(module, arguments, output):
        if isinstance(module, Letters):
            batches.append(len(output))

    hook = register_module_forward_hook(count)  # one of its own would be part of what it computes
    yield Letters(), batches
    hook.remove()


def encoder_of_texts(module, **parameters):
    defaults = {"preprocess": to_numbers, "modality": "text", "cache": EmbeddingCache()}
    return TorchEncoder(module, **(defaults | parameters))


def expected(texts, module=None):
    rows = [
        np.full(3, np.nan)
        if text is None
        else to_numbers(text) @ (module or Letters()).weight.numpy()
        for text in texts
    ]
    return np.array(rows)


TEXTS = [f"text {i % 70}" for i in range(100)]


@pytest.mark.parametrize("cache", [None, "memory", "disk"])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_each_distinct_item_is_encoded_once(counted, tmp_path, cache, batch_size):
    module, batches = counted
    cache = {None: None, "memory": EmbeddingCache(), "disk": tmp_path / "cache"}[cache]
    encoder = encoder_of_texts(module, cache=cache, batch_size=batch_size)
    texts = [*TEXTS, None, *TEXTS]
    vectors = encoder.fit_transform(texts)
    np.testing.assert_allclose(vectors, expected(texts), rtol=1e-6)
    in_fit = 1 if cache is None else 0  # of an item that is encoded to see how many features it has
    assert sum(batches) == 70 + in_fit
    assert max(batches) <= batch_size
    encoder.transform(texts[::-1])
    assert sum(batches) == (70 * 2 + in_fit if cache is None else 70)


def test_equal_items_in_other_objects_are_encoded_once(counted):
    module, batches = counted
    array = np.arange(N_CHARACTERS, dtype=np.float64)
    column = [array, array.copy(), array[::-1], array[::-1].copy(), array.astype(np.float32)]
    encoder = encoder_of_texts(module, preprocess=None, modality=None, collate=stack)
    encoder.fit_transform(column)
    assert sum(batches) == 3


def stack(arrays):
    return torch.from_numpy(np.stack(arrays).astype(np.float64))


def test_grid_search_encodes_each_item_once(counted, tmp_path):
    module, batches = counted
    search = GridSearchCV(
        make_pipeline(encoder_of_texts(module), LogisticRegression()),
        {"logisticregression__C": [0.1, 1.0, 10.0], "torchencoder__batch_size": [5, 50]},
        cv=4,
    ).fit(np.array(TEXTS, dtype=object), np.arange(100) % 2)
    assert search.best_estimator_[0].module is module
    assert sum(batches) == 70


def test_other_weights_other_vectors(counted):
    cache = EmbeddingCache()
    first = encoder_of_texts(Letters(0), cache=cache).fit_transform(TEXTS)
    second = encoder_of_texts(Letters(1), cache=cache).fit_transform(TEXTS)
    np.testing.assert_allclose(second, expected(TEXTS, Letters(1)), rtol=1e-6)
    assert np.abs(first - second).min() > 0


def test_weights_changed_in_place(counted):
    module, _batches = counted
    encoder = encoder_of_texts(module).fit(TEXTS)
    first = encoder.transform(TEXTS)
    with torch.no_grad():
        module.weight *= 2
    with pytest.raises(ValueError, match=r"TorchEncoder.*module"):
        encoder.transform(TEXTS)
    np.testing.assert_allclose(encoder.fit_transform(TEXTS), 2 * first, rtol=1e-6)


@pytest.mark.parametrize("cache", [None, "memory"])
def test_broken_items(counted, cache):
    module, _batches = counted

    def refuse_odd(text):
        if int(text.split()[1]) % 2:
            raise ValueError("odd")
        return to_numbers(text)

    options = {"preprocess": refuse_odd, "cache": cache and EmbeddingCache()}
    column = pd.Series(
        ["text 4", "text 3", None, "text 3", "text 6"], index=list("abcde"), name="t"
    )
    with pytest.raises(
        ValueError,
        match=r"TorchEncoder: column 't', row 1 \(index 'b'\): .*preprocess.*odd.*"
        "errors=",
    ):
        encoder_of_texts(module, **options).fit_transform(column)
    encoder = encoder_of_texts(module, errors="missing", **options)
    with pytest.warns(UserWarning, match=r"2 of 5 .*row 1.*odd; .*row 3.*odd") as seen:
        vectors = encoder.fit_transform(column)
    assert len(seen) == 1
    np.testing.assert_array_equal(np.isnan(vectors).any(axis=1), [False, True, True, True, False])


def test_vectors_that_are_not_finite_are_broken(counted):
    module, _ = counted
    cache = EmbeddingCache()

    def lose(text):
        return to_numbers(text) + (np.inf if text == "lost" else 0)

    encoder = encoder_of_texts(module, preprocess=lose, errors="missing", cache=cache)
    with pytest.warns(UserWarning, match=r"1 of 3 .*row 1: .*finite"):
        vectors = encoder.fit_transform(["a", "lost", "b"])
    np.testing.assert_array_equal(np.isnan(vectors).any(axis=1), [False, True, False])
    assert len(cache) == 2
    with pytest.raises(ValueError, match=r"row 1: .*finite"):
        encoder.set_params(errors="raise").fit_transform(["a", "lost", "b"])


def test_broken_file_is_found_before_anything_is_encoded(counted, tmp_path):
    module, batches = counted
    paths = []
    for i in range(20):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.new("RGB", (8, 8), (i, 0, 0)).save(paths[-1])
    Path(paths[17]).write_bytes(b"no picture")
    encoder = encoder_of_texts(module, modality="image", preprocess=mean_pixel, batch_size=2)
    encoder.fit(paths[:1])
    batches.clear()
    with pytest.raises(ValueError, match=r"row 17: '.*17\.png'"):
        encoder.transform(paths)
    assert batches == []


def mean_pixel(picture):
    return to_numbers(str(np.asarray(picture).mean()))


def test_clones_share_what_prepares_items():
    class Prepare:
        def __init__(self):
            self.lock = threading.Lock()  # which cannot be copied

        def __call__(self, text):
            return to_numbers(text)

    prepare = Prepare()
    encoder = clone(encoder_of_texts(Letters(), preprocess=prepare, cache=None))
    assert encoder.preprocess is prepare
    np.testing.assert_allclose(encoder.fit_transform(TEXTS), expected(TEXTS), rtol=1e-6)


def test_touched_file_is_not_encoded_again_but_a_changed_one_is(counted, tmp_path):
    module, batches = counted
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8), (90, 0, 0)).save(path)
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    cache = tmp_path / "cache.sqlite"
    encoder = encoder_of_texts(module, modality="image", preprocess=mean_pixel, cache=cache)
    first = encoder.fit_transform([path])
    assert sum(batches) == 1
    os.utime(path)
    np.testing.assert_array_equal(encoder.transform([str(path)]), first)
    np.testing.assert_array_equal(encoder.transform([path.read_bytes()]), first)
    assert sum(batches) == 1
    Image.new("RGB", (8, 8), (30, 0, 0)).save(path)
    assert (encoder.transform([path]) != first).any()
    assert sum(batches) == 2


def test_image_in_the_home_of_the_user(counted, tmp_path, monkeypatch):
    module, batches = counted
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    Image.new("RGB", (8, 8), (90, 0, 0)).save(tmp_path / "a.png")
    time.sleep(0.05)  # what changes once a run has begun is not kept
    encoder = encoder_of_texts(module, modality="image", preprocess=mean_pixel, cache="memory")
    first = encoder.fit_transform(["~/a.png"])
    np.testing.assert_array_equal(encoder.transform([str(tmp_path / "a.png")]), first)
    assert sum(batches) == 1


def test_interrupted_run_keeps_what_is_done(counted, tmp_path):
    module, batches = counted
    cache = tmp_path / "cache"

    def interrupt(module, arguments):
        if len(batches) == 3:
            raise KeyboardInterrupt

    hook = register_module_forward_pre_hook(interrupt)
    encoder = encoder_of_texts(module, cache=cache, batch_size=10).fit(TEXTS[:1])
    batches.clear()
    with pytest.raises(KeyboardInterrupt):
        encoder.transform(TEXTS)
    assert batches == [10, 10, 10]
    hook.remove()
    encoder.transform(TEXTS)
    assert sum(batches) == 69


ENCODE_SLOWLY = """
import importlib.util, os, sys
from torch.nn.modules.module import register_module_forward_hook

name, path, cache, log = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, path)
tests = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

for line in sys.stdin:  # each asks for a process that encodes; a fork, for imports take long
    pid = os.fork()
    if not pid:
        break
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
else:
    sys.exit()

def note(module, arguments, output):  # in one write, which a kill does not halve
    codes = (arguments[0] * 128).round().int().tolist()
    os.write(log, "".join("".join(map(chr, row)) for row in codes).encode())

register_module_forward_hook(note)
encoder = tests.encoder_of_texts(tests.Letters(seconds=0.01), cache=cache, batch_size=20)
encoder.fit_transform([f"{i:08d}" for i in range(2000)])
"""


@pytest.fixture
def start_encoding(tmp_path):
    """A function that starts two processes which encode slowly, and returns one that kills them."""
    command = [sys.executable, "-c", ENCODE_SLOWLY, __name__, __file__]
    command += [str(tmp_path / "cache"), str(tmp_path / "log")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with ExitStack() as stack:
        parents = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in "ab"]

        def start():
            for parent in parents:
                parent.stdin.write("\n")
            started = [(parent, int(parent.stdout.readline())) for parent in parents]

            def kill():
                for parent, pid in started:
                    os.kill(pid, signal.SIGKILL)
                    assert parent.stdout.readline() == "ended\n"

            return kill

        yield start
        for parent in parents:
            parent.stdin.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_processes_lose_a_batch_at_most(counted, start_encoding, tmp_path):
    texts = [f"{i:08d}" for i in range(2000)]
    cache, known, log = EmbeddingCache(tmp_path / "cache"), 0, tmp_path / "log"
    for kill in range(3):
        kill_both = start_encoding()
        deadline = time.monotonic() + 60
        while len(cache) < known + 200 and time.monotonic() < deadline:
            time.sleep(0.005)
        kill_both()
        assert known + 200 <= len(cache) < 2000
        known = len(cache)
        encoded = log.read_text()
        encoded = {encoded[i : i + 8] for i in range(0, len(encoded), 8)} & set(texts)
        assert len(encoded) - known <= 2 * 20 * (1 + kill)
    assert sqlite3.connect(cache.path).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    _module, batches = counted
    encoder = encoder_of_texts(Letters(seconds=0.01), cache=cache).fit(texts)
    batches.clear()
    vectors = encoder.transform(texts)
    assert sum(batches) == 2000 - known
    np.testing.assert_allclose(vectors, expected(texts), rtol=1e-6)


def test_cache_that_cannot_be_written_is_no_reason_to_stop(counted):
    module, _batches = counted
    encoder = encoder_of_texts(module, cache="/proc/skmm.sqlite", batch_size=10)
    with pytest.warns(UserWarning, match=r"/proc/skmm\.sqlite") as seen:
        vectors = encoder.fit_transform(TEXTS)
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.transform(TEXTS)
    np.testing.assert_allclose(vectors, expected(TEXTS), rtol=1e-6)


MEASURE_MEMORY = """
import os, resource, sys, tracemalloc
import numpy as np, torch
from PIL import Image
from skmm.encoding import TorchEncoder

def preprocess(picture):
    return torch.from_numpy(np.array(picture.resize((512, 512)), dtype=np.float32))

class Mean(torch.nn.Module):
    def forward(self, pictures):
        return pictures.mean(dim=(1, 2))

n_images, folder = int(sys.argv[1]), sys.argv[2]
paths = []
for i in range(n_images):
    paths.append(f"{folder}/{i}.png")
    Image.new("RGB", (40, 40), (i % 256, i // 256, 0)).save(paths[-1])

def measure(cache):
    encoder = TorchEncoder(
        Mean(), preprocess=preprocess, modality="image", batch_size=8, cache=cache
    ).fit(paths[:1])
    encoder.transform(paths[:1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    encoder.transform(paths)
    arrays = tracemalloc.get_traced_memory()[1] / 1024
    print(arrays, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)

for cache in (None, "memory", f"{folder}/cache.sqlite"):
    if os.fork() == 0:  # in a process of its own, which has used no memory yet
        measure(cache)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_memory_is_that_of_a_few_batches(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_MEMORY, "240", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    batch = 8 * 512 * 512 * 3 * 4 / 1024  # KiB; all images are 30 times as much
    measured = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    assert len(measured) == 3  # caches: none, in memory, on disk
    for arrays, process in measured:
        assert arrays < batch  # the batches themselves belong to torch
        assert process < 4 * batch


def test_out_of_memory_says_what_to_do(counted):
    module, _ = counted

    def exhaust(module, arguments):
        raise RuntimeError("CUDA out of memory")

    encoder = encoder_of_texts(module).fit(["a"])
    module.register_forward_pre_hook(exhaust)
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        encoder.transform(["b", "c"])
    assert "2 items at once; a smaller batch_size" in caught.value.__notes__[0]


def test_clones_copies_and_pickles():
    module, cache = Letters(), EmbeddingCache()
    encoder = encoder_of_texts(module, cache=cache).fit(TEXTS)
    for other in (clone(encoder), copy.copy(encoder)):
        assert other.module is module
        assert other.cache is cache
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(TEXTS), encoder.transform(TEXTS))
    assert not hasattr(encoder, "_backbone")
    described = ImageDescriptor(cache=cache)
    assert clone(described).cache is cache


def test_other_libraries_than_in_fit_are_told():
    picture = np.zeros((20, 20, 3), dtype=np.uint8)
    encoder = ImageDescriptor().fit([picture])
    saved = pickle.dumps(encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(saved).transform([picture])
    encoder.method_ = encoder.method_.replace(f"pillow {PIL.__version__}", "pillow 1.2.3")
    saved = pickle.dumps(encoder)
    with pytest.warns(UserWarning, match=r"fitted with .*pillow 1\.2\.3") as seen:
        pickle.loads(saved).transform([picture])
    assert seen[0].filename == __file__


def test_another_preprocess_than_in_fit_is_told():
    encoder = encoder_of_texts(Letters()).fit(TEXTS)
    encoder.set_params(preprocess=lambda text: to_numbers(text.lower()))
    with pytest.warns(UserWarning, match=r"TorchEncoder .*preprocess.*collate"):
        encoder.transform(TEXTS)


def test_progress_bar_if_asked_for(capfd):
    encoder_of_texts(Letters(), cache=None).fit_transform(TEXTS)
    assert capfd.readouterr() == ("", "")
    encoder_of_texts(Letters(), cache=None, verbose=True).fit_transform(TEXTS)
    assert "70/70" in capfd.readouterr().err


def test_bare_names_in_a_frame():
    vectors = encoder_of_texts(Letters()).set_output(transform="pandas").fit_transform(TEXTS)
    assert list(vectors.columns) == ["0", "1", "2"]
    assert (vectors.dtypes == np.float32).all()


@pytest.mark.parametrize(
    "container",
    [list, np.array, lambda x: np.array(x, dtype=object), pd.Series, pd.DataFrame,
     lambda x: pd.Series(x, dtype="string")],
)  # fmt: skip
def test_containers(container):
    texts = ["a", "b", "a"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vectors = encoder_of_texts(Letters()).fit_transform(container(texts))
    np.testing.assert_allclose(vectors, expected(texts), rtol=1e-6)


def test_file_that_changes_meanwhile_is_not_kept(counted, tmp_path):
    module, _ = counted
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8), (90, 0, 0)).save(path)

    def change(module, arguments):
        Image.new("RGB", (8, 8), (30, 0, 0)).save(path)

    encoder = encoder_of_texts(module, modality="image", preprocess=mean_pixel)
    encoder.fit([Image.new("RGB", (8, 8))])
    hook = module.register_forward_pre_hook(change)
    encoder.transform([path])
    hook.remove()
    assert len(encoder.cache) == 1


def test_a_file_in_the_cache_needs_no_thread_and_no_look_for_versions(tmp_path):
    path = str(tmp_path / "photo.png")
    Image.fromarray(np.full((64, 64, 3), 90, dtype=np.uint8)).save(path)
    encoder = ImageDescriptor(cache=EmbeddingCache()).fit([path])
    expected = encoder.transform([path])
    called = set()
    sys.setprofile(lambda frame, event, argument: called.add(frame.f_code.co_qualname))
    try:
        vectors = encoder.transform([path])
    finally:
        sys.setprofile(None)
    assert "CellEncoder.transform" in called
    assert not called & {"version", "Thread.start"}
    np.testing.assert_array_equal(vectors, expected)
