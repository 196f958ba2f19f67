"""Date the changes of a release, and its citation: python tools/cut_changelog.py 0.1.0.

The heading "## 0.1.0 (unreleased)" of CHANGES.md gets today's date, CITATION.cff the version and
the date. What is to be committed and tagged then is in CONTRIBUTING.md.
"""

import datetime
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def cut_changelog(text: str, version: str, date: str) -> str:
    """Return the changes with the unreleased section dated.

    Raises
    ------
    ValueError
        If there is no such section, or it has no changes.
    """
    heading = f"## {version} (unreleased)\n"
    before, found, after = text.partition(heading)
    if not found:
        raise ValueError(f"CHANGES.md has no heading {heading.strip()!r}.")
    if not after.partition("\n## ")[0].strip():
        raise ValueError(f"CHANGES.md says nothing of {version}.")
    return f"{before}## {version} ({date})\n{after}"


def cite(text: str, version: str, date: str) -> str:
    """Return the citation with this version and date in place of others."""
    kept = re.sub(r"^(version|date-released):.*\n", "", text, flags=re.MULTILINE)
    return f"{kept}version: {version}\ndate-released: {date}\n"


def main() -> None:
    if len(sys.argv) != 2 or not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", sys.argv[1]):
        raise SystemExit(__doc__)
    version, date = sys.argv[1], datetime.date.today().isoformat()
    for name, change in {"CHANGES.md": cut_changelog, "CITATION.cff": cite}.items():
        path = REPOSITORY / name
        path.write_text(change(path.read_text("utf-8"), version, date), "utf-8")


if __name__ == "__main__":
    main()
