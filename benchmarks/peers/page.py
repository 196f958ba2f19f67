"""Count a user's lines of code, and write the results page and its picture."""

import ast
import statistics
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN, END = "# user's code:", "# end of user's code"


def user_code(script: str) -> str:
    """Return the lines between the two markers."""
    _, begin, rest = script.partition(BEGIN + "\n")
    code, end, _ = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected the lines {BEGIN!r} and {END!r} in the script of a peer")
    return code


def code_lines(code: str) -> set[int]:
    """Find the lines that hold code: no blank ones, comments or docstrings."""
    tree = ast.parse(code)
    lines = {
        i for i, line in enumerate(code.splitlines(), 1) if line.strip() and line.strip()[0] != "#"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return lines


def count_user_lines(script: str, functions: dict[str, str]) -> int:
    """Count the user's lines: those between the markers, and of the functions that they import.

    ``functions`` are the sources of the modules whose functions a user would have to write.
    """
    code = user_code(script)
    imported = {
        node.module: [alias.name for alias in node.names]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module in functions
    }
    lines = pick_lines(code, code_lines(code))
    for module, names in imported.items():
        lines += find_function_lines(functions[module], names)
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    n_repeated = len(imports) - len(set(imports))  # counted once
    return len(lines) - n_repeated - len(imported)  # a user has these functions in the same file


def pick_lines(code: str, numbers: set[int]) -> list[str]:
    """Return the lines with these numbers, which start at 1."""
    return [line for i, line in enumerate(code.splitlines(), 1) if i in numbers]


def find_function_lines(functions: str, names: list[str]) -> list[str]:
    """Return the lines of functions, and of the functions and imports that they need."""
    body = {}
    for node in ast.parse(functions).body:
        if isinstance(node, ast.FunctionDef):
            body[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            body |= {(alias.asname or alias.name): node for alias in node.names}
    needed, open_names = set(), list(names)
    for name in names:
        if name not in body:
            raise ValueError(f"there is no function {name!r} to count")
    while open_names:
        node = body.get(open_names.pop())
        if node is not None and node not in needed:
            needed.add(node)
            open_names += [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    lines = code_lines(functions)
    spans = [
        range(
            min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]),
            node.end_lineno + 1,
        )
        for node in needed
    ]
    return pick_lines(functions, lines & {line for span in spans for line in span})


def to_markdown(rows: list[dict]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(map(escape, line))} |" for line in lines)


def escape(cell) -> str:
    """Keep a cell in one cell, and what it holds from being read as markup."""
    text = str(cell).replace("|", "\\|").replace("\n", " ")
    return text.replace("<", "&lt;").replace(">", "&gt;")


def mean_and_sd(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    spread = statistics.pstdev(values)
    return f"{statistics.mean(values):.3f} (sd {spread:.3f}, {len(values)} seeds)"


def measured(results):
    """Return the peers of which something was measured, their figures in one list."""
    return {
        name: {**peer, "figures": [f for figures in peer["figures"].values() for f in figures]}
        for name, peer in results["peers"].items()
        if "figures" in peer
    }


def render(results: dict, notes: str) -> str:
    """Write the page of what has been measured."""
    peers = measured(results)
    sections = {
        "What each takes": [row_of_abilities(peer) for peer in peers.values()],
        "What each costs": [row_of_costs(peer) for peer in peers.values()],
        "Accuracy": rows_of_data(peers, "complete", show_accuracy),
        "Fit time": rows_of_data(peers, "complete", show_seconds),
        "Missing modalities": rows_of_missing(peers),
        "Versions": [row_of_versions(peer) for peer in peers.values()],
    }
    page = notes.replace("{machine}", results["machine"])
    failures = [
        f"- {peer['title']}: `{peer['failed']}`" for peer in peers.values() if peer.get("failed")
    ]
    tables = {"Where a peer is better": "\n".join(where_a_peer_is_better(peers))}
    tables |= {name: to_markdown(rows) for name, rows in sections.items() if rows}
    tables["What does not install or run"] = "\n".join(failures) or "Nothing."
    for name, table in tables.items():
        slot = f"{{{name}}}"
        if slot not in page:
            raise ValueError(f"the notes have no place for the table {name!r}: {slot}")
        page = page.replace(slot, table)
    return page


def draw(results: dict, file: Path):
    """Draw the accuracies of all peers, for each data set, with all modalities and without one."""
    import matplotlib.pyplot as plt

    peers = measured(results)
    names = names_of_data(peers)
    figure, axes = plt.subplots(
        -(-len(names) // 2), 2, figsize=(8, 6.4), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, name in zip(axes.flat, names, strict=False):
        for kind, fill, label in [
            ("complete", "black", "all modalities"),
            ("missing", "white", "one missing in 60 % of the rows"),
        ]:
            means = [mean(select(peer, kind, name), "accuracy") for peer in peers.values()]
            points = [(m, i) for i, m in enumerate(means) if m is not None]
            x, y = zip(*points, strict=True) if points else ([], [])
            ax.plot(x, y, "o", markerfacecolor=fill, markeredgecolor="black", label=label)
        ax.set(title=name, xlabel="test accuracy")
        ax.set_yticks(range(len(peers)), [peer["title"] for peer in peers.values()])
        ax.grid(alpha=0.4)
        ax.set_axisbelow(True)
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def where_a_peer_is_better(peers):
    """List, for each comparison, the peers whose mean is better than skmm's."""
    measures = {"lines of user code": {name: peer["lines"] for name, peer in peers.items()}}
    for label, key in [
        ("encodings per item in a grid search", "per_item"),
        ("seconds of the grid search", "search_seconds"),
        ("import time", "import_seconds"),
        ("import time of all that the job imports", "job_import_seconds"),
        ("installed size", "package_mb"),
        ("installed size of all that the job needs", "job_mb"),
    ]:
        measures[label] = {name: first(peer["figures"], key) for name, peer in peers.items()}
    for data in names_of_data(peers):
        for kind, key, label in [
            ("complete", "accuracy", "accuracy"),
            ("missing", "accuracy", "accuracy with a modality missing"),
            ("complete", "seconds", "fit time"),
        ]:
            measures[f"{data}, {label}"] = {
                name: mean(select(peer, kind, data), key) for name, peer in peers.items()
            }
    lines = []
    for label, values in measures.items():
        of_skmm = values.get("skmm")
        if of_skmm is None:
            continue
        sign = -1 if "accuracy" in label else 1
        better = [
            n for n, value in values.items() if value is not None and sign * (value - of_skmm) < 0
        ]
        shown = [f"{peers[n]['title']} ({three_digits(values[n])})" for n in better]
        lines.append(f"- {label} (skmm {three_digits(of_skmm)}): {', '.join(shown) or 'none'}")
    return lines


def three_digits(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def names_of_data(peers):
    figures = [each for peer in peers.values() for each in peer["figures"]]
    return list(dict.fromkeys(each["data"] for each in figures if "data" in each))


def select(peer, kind, data):
    return [f for f in peer["figures"] if f.get("kind") == kind and f["data"] == data]


def mean(figures, key):
    values = [each[key] for each in figures if key in each]
    return statistics.mean(values) if values else None


def row_of_abilities(peer):
    figures = peer["figures"]
    raw = ", ".join(f"{modality}: {by}" for modality, by in peer["raw"].items())
    return {
        "": peer["title"],
        "text + image + audio in one table": show(figures, "raw", raw),
        "clone": show(figures, "clone"),
        "GridSearchCV": show(figures, "search"),
        "pickle": show(figures, "pickle"),
    }


def show(figures, name, more=""):
    value = shorten(first(figures, name, "not run"))
    return f"{value} ({more})" if more and value == "yes" else value


def first(figures, name, default=None):
    return next((each[name] for each in figures if name in each), default)


def row_of_costs(peer):
    figures = peer["figures"]
    encoded, error = first(figures, "per_item"), first(figures, "search_error", "does not run")
    seconds, size = first(figures, "search_seconds"), first(figures, "package_mb")
    imports = first(figures, "import_seconds")
    return {
        "": peer["title"],
        "lines of user code": peer["lines"],
        "24 x 5 grid search: encodings per item": error if encoded is None else f"{encoded:.1f}",
        "and its seconds": "" if seconds is None else f"{seconds:.0f}",
        "import, seconds": "" if imports is None else f"{imports:.2f}",
        "with all the job imports": ""
        if imports is None
        else f"{first(figures, 'job_import_seconds'):.1f}",
        "installed, MB": "" if size is None else f"{size:,.0f}",
        "with all the job needs, MB": "" if size is None else f"{first(figures, 'job_mb'):,.0f}",
    }


def rows_of_missing(peers):
    rows = rows_of_data(peers, "missing", show_accuracy)
    imputes = {peer["title"]: peer["imputes"] for peer in peers.values()}
    return [{"": row[""], "handled by": imputes[row[""]], **row} for row in rows]


def rows_of_data(peers, kind, show_figures):
    names = names_of_data(peers)
    rows = []
    for peer in peers.values():
        row = {"": peer["title"]}
        row |= {name: show_figures(select(peer, kind, name)) for name in names}
        if any(row[name] for name in names):
            rows.append(row)
    return rows


def shorten(text, limit=90):
    """Keep the first sentence of an error, and of that what fits."""
    sentence = text.partition(". ")[0]
    return sentence if len(sentence) <= limit else sentence[: limit - 3].rstrip() + "..."


def show_accuracy(figures):
    values = [each["accuracy"] for each in figures if "accuracy" in each]
    return mean_and_sd(values) if values else show_errors(figures)


def show_seconds(figures):
    values = [each["seconds"] for each in figures if "seconds" in each]
    return f"{statistics.mean(values):.1f}" if values else show_errors(figures)


def show_errors(figures):
    return shorten(next((each["error"] for each in figures if "error" in each), ""))


def row_of_versions(peer):
    versions = first(peer["figures"], "versions", {})
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    return {"": peer["title"], "versions": shown}
