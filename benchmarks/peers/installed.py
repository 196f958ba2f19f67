"""Print the size and the versions of what is installed in this environment.

python benchmarks/peers/installed.py 'PACKAGE[extra,extra]'
"""

import importlib.metadata as metadata
import json
import sys

from packaging.requirements import Requirement

TOOLS = {"pip", "wheel"}
SHOWN = ("scikit-learn", "numpy", "torch", "sentence-transformers", "timm")


def normalize(name):
    return name.lower().replace("_", "-").replace(".", "-")


def closure(package):
    """Find what a package requires, directly or not, with the extras that are asked for."""
    found, waiting = set(), [Requirement(package)]
    while waiting:
        requirement = waiting.pop()
        key = (normalize(requirement.name), tuple(sorted(requirement.extras)))
        if key in found:
            continue
        found.add(key)
        for text in metadata.distribution(requirement.name).requires or []:
            needed = Requirement(text)
            extras = [*requirement.extras, ""]
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return {name for name, _ in found}


def megabytes(distribution):
    files = distribution.files or []
    paths = [distribution.locate_file(file) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def main():
    package = sys.argv[1]
    sizes, versions = {}, {}
    for distribution in metadata.distributions():
        name = normalize(distribution.metadata["Name"])
        sizes[name], versions[name] = megabytes(distribution), distribution.version
    package_name = normalize(Requirement(package).name)
    figures = {
        "package_mb": sum(sizes[name] for name in closure(package) if name in sizes),
        "job_mb": sum(size for name, size in sizes.items() if name not in TOOLS),
        "versions": {name: versions[name] for name in (package_name, *SHOWN) if name in versions},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
