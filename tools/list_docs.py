"""List the versions of the docs: python tools/list_docs.py FOLDER BASE.

FOLDER has a folder for each version (dev, 0.1.0 ...), which are served below the address BASE. The
list, FOLDER/switcher.json, is what the pages offer at their top, if they were built with
SKMM_DOCS_BASE=BASE.
"""

import json
import re
import sys
from pathlib import Path


def list_versions(folder: Path, base: str) -> list[dict[str, str | bool]]:
    """Return an entry for dev, and one for each release, the newest first."""
    built = [path.parent.name for path in folder.glob("*/index.html")]
    releases = [name for name in built if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    releases.sort(key=lambda name: [int(part) for part in name.split(".")], reverse=True)
    entries: list[dict[str, str | bool]] = []
    for name in ["dev"] * ("dev" in built) + releases:
        entry: dict[str, str | bool] = {"version": name, "url": f"{base}/{name}/"}
        if releases and name == releases[0]:
            entry |= {"name": f"{name} (stable)", "preferred": True}
        entries.append(entry)
    return entries


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, base = Path(sys.argv[1]), sys.argv[2].rstrip("/")
    text = json.dumps(list_versions(folder, base), indent=2)
    (folder / "switcher.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
