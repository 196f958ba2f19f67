"""Images, sounds and videos in files: by name, by content, and written as text."""

from __future__ import annotations

import base64
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd

from .._warnings import warn_user
from ..encoding.readers import (
    BrokenItemError,
    check_image,
    check_sound,
    expand_home,
    find_pictures,
    open_container,
    open_encoded,
    quiet_pillow,
    unwrap,
)

N_OPENED = 5
N_HEAD = 16  # bytes
MAX_NAME = 4096  # characters of a path
MAX_WORDS = 3  # of a name with blanks; more are a sentence, but for those like "03 - Hey Jude.mp3"
MIN_VECTOR = 8  # numbers without brackets or decimals; fewer may be a phone number
MIN_ENCODED = 40  # characters of base64 whose content is unknown; shorter ones may be ids

EXTENSIONS = {
    "image": "jpg jpeg jfif png gif bmp tif tiff webp avif heic heif ico ppm pgm jp2 j2k",
    "audio": "wav flac ogg oga opus spx mp3 m4a m4b aac aif aiff aifc caf amr wma mka weba",
    "video": "mp4 m4v mov 3gp 3g2 avi mkv webm mpg mpeg vob mts m2ts wmv flv ogv",
}
_MODALITY_OF = {f".{e}": name for name, group in EXTENSIONS.items() for e in group.split()}
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")  # AVIF and HEIF
_MAGIC: list[tuple[str, Callable[[bytes], bool]]] = [
    ("image", lambda b: b.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0"))),
    ("image", lambda b: b.startswith(b"MM\0*") or (b[:4] == b"RIFF" and b[8:12] == b"WEBP")),
    ("audio", lambda b: b.startswith((b"fLaC", b"OggS", b"ID3", b"FORM"))),
    ("audio", lambda b: b[:4] == b"RIFF" and b[8:12] == b"WAVE"),
    ("audio", lambda b: len(b) > 1 and b[0] == 0xFF and b[1] & 0xE6 == 0xE2),  # an MPEG frame
    ("image", lambda b: b[4:8] == b"ftyp" and b[8:12] in _IMAGE_BRANDS),
    ("audio", lambda b: b[4:11] in (b"ftypM4A", b"ftypM4B")),
    ("video", lambda b: b[4:8] == b"ftyp" or b.startswith(b"\x1aE\xdf\xa3")),
    ("video", lambda b: b[:4] == b"RIFF" and b[8:12] == b"AVI "),
    ("video", lambda b: b[4:8] in (b"moov", b"mdat", b"wide") or b.startswith(b"FLV\1")),
    ("video", lambda b: b.startswith((b"\0\0\1\xba", b"\0\0\1\xb3"))),  # MPEG
]
_SOUND_OR_VIDEO = re.compile(rb"OggS|\x1aE\xdf\xa3|.{4}(ftyp|moov|mdat|wide)|FLV", re.DOTALL)

DATA_URIS = "files as data URIs"
BYTES_AS_TEXT = "bytes as text"
DECODED_BYTES = "text with NUL characters, as of files that were decoded"
BASE64 = "bytes as base64"
HEX = "bytes as hexadecimal digits"
QUOTED_PATHS = "paths in quotes or brackets"
URLS = "URLs"
VECTORS_AS_TEXT = "vectors as text"
OBJECTS_AS_TEXT = "the names of objects, not what they held"
LISTS_OF_PATHS = "lists of paths"
OTHER_PATHS = "names of files that no encoder reads"
OTHER_FILES = "paths of files that are no image, sound or video in a known format"
_ADVICE = {
    DATA_URIS: "base64.b64decode(cell.partition(',')[2]) makes bytes of one, which encoders read",
    BYTES_AS_TEXT: "ast.literal_eval(cell) turns one back into what encoders read",
    DECODED_BYTES: "read files as bytes, open(path, 'rb').read(), or put their paths there",
    BASE64: "base64.b64decode(cell) makes bytes of one, which encoders read if it is a file",
    HEX: "bytes.fromhex(cell) makes bytes of one, without what may stand before, such as 0x",
    QUOTED_PATHS: "ast.literal_eval(cell) makes a path of one, or a list, of which each needs a "
    "column or a row of its own",
    VECTORS_AS_TEXT: "json.loads(cell) makes a list of one with brackets and commas, and "
    "list(map(float, cell.split())) of one with blanks alone, which is an embedding",
    LISTS_OF_PATHS: "an encoder reads one file a cell: give each path a column of its own "
    "(pd.DataFrame(X[column].to_list())) or a row of its own (X.explode(column))",
    OTHER_PATHS: "read what they hold, or drop the column",
    URLS: "nothing is fetched: download what they lead to and put the paths in their place",
}
_DATA_URI = re.compile(
    r"data:(?:[\w.+-]+/[\w.+-]+(;[\w=.+-]+)*|(;[\w=.+-]+)+),", re.ASCII | re.IGNORECASE
)
_OBJECT = re.compile(r"<[\w.]+ .*at 0x[0-9a-f]+>", re.DOTALL | re.IGNORECASE)
_BYTES = re.compile(r"(?:bytearray\()?(?:\{.{0,300}['\"]bytes['\"]: )?b['\"](.{0,200})", re.DOTALL)
_HEX = re.compile(r"(?:0x|\\x|[xX](?='))?'?((?:[0-9a-f]{2}){12,})'?", re.IGNORECASE)
_QUOTED = re.compile(
    r"(?:\[\s*|\(\s*)?(['\"])(?P<first>[^'\"]+)\1(?:\s*,\s*.+|,)?\s*[\])]?", re.DOTALL
)
_BASE64 = re.compile(r"[\w+/\r\n-]{12,}={0,2}", re.ASCII)
_UPPER_LOWER_DIGIT = re.compile(r"(?=.*[a-z])(?=.*[A-Z]).*\d")
_VECTOR = re.compile(
    r"(?:tensor|array)?\(?\[\s*[-+\d.][-+\d.eE,\s]*[\s,][-+\d.eE,\s]*\](?:, \w+=[\w.]+)*\)?"
    r"|\(?[-+]?\d*\.\d+(?:[,;\s]\s*[-+]?\d*\.\d+)+\)?"  # with decimals, as latitude and longitude
    rf"|\(?[-+\d.eE]+(?:[,;\s]\s*[-+\d.eE]+){{{MIN_VECTOR - 1},}}\)?"
)
_URL = re.compile(r"(?:(?:[a-z][a-z0-9+.-]*:)?//\S+|www\.[^\s/]+/\S+)", re.IGNORECASE)
_OTHER_PATH = re.compile(
    r"\S+\.(?:svg|eps|psd|cr2|cr3|nef|arw|dng|dcm|nii|nrrd|mha|npy|npz|pt|pth|pkl|h5|hdf5|mat|csv|tsv"
    r"|json|jsonl|parquet|xml|html?|pdf|txt|rtf|docx?|xlsx?|pptx?|mid|midi|obj|stl|ply|zip|tar|tgz)"
    r"(?:\.(?:gz|bz2|xz|zst))?",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\S*\d[-_.:]\d\S*|-")  # a word of names such as "03 - Hey Jude.mp3"


def unwrap_values(values: pd.Series) -> pd.Series:
    """Unwrap dicts of bytes and paths."""
    if values.dtype != object or not any(isinstance(cell, dict) for cell in values):
        return values
    unwrapped = [unwrap(cell) for cell in values]
    return pd.Series(unwrapped, index=values.index, name=values.name, dtype=object)


# Texts


def infer_media(texts: list[str]) -> tuple[str | None, str, str] | None:
    """Infer modality, kind and the reason of texts that are paths or encoded files; None if not.

    The modality is None where no encoder reads them as they are.
    """
    encoding = _find_common(_find_encoding, texts)
    if encoding is not None:
        return None, encoding, "by how they begin"
    first = texts[:N_OPENED]
    opened = Counter(filter(None, map(infer_file, first)))
    modality = _find_common(name_medium, texts)
    if opened:
        return opened.most_common(1)[0][0], "paths", "the first are such files"
    if modality is not None:
        return modality, "paths", f"most end like {modality} files"
    are_files = all(os.path.splitext(text)[1] and _find_file(text) for text in first)
    return (None, OTHER_FILES, "no decoder knows the first") if are_files else None


def name_medium(text: str) -> str | None:
    """Return the modality that a path or a URL has by its suffix; None if it is neither."""
    text = text.strip()
    words = text.split()
    if len(words) > 1 and ("://" in text or not _is_name(words)):
        return None
    before_query = re.split(r"[?#]", text, maxsplit=1)[0]
    suffixes = [os.path.splitext(part)[1].lower() for part in (before_query, text)]
    return next((_MODALITY_OF[suffix] for suffix in suffixes if suffix in _MODALITY_OF), None)


def _is_name(words: list[str]) -> bool:
    """Distinguish "my cat.jpg" and "03 - Hey Jude.mp3" from "I saved it as cat.jpg"."""
    has_folder = re.search(r"[/\\]", words[0]) is not None
    return has_folder or len(words) <= MAX_WORDS or any(map(_NUMBERED.fullmatch, words[:-1]))


def name_strings(texts: list[str]) -> str:
    """Return the kind of what counts as text: "strings", unless they clearly are something else."""
    return _find_common(_find_other_strings, texts) or "strings"


def advise(kind: str) -> str:
    """Return what to do with a column of some kind, as the end of a sentence."""
    return f"; {_ADVICE[kind]}" if kind in _ADVICE else ""


def warn_of_strings(column, kind: str, example: str) -> None:
    """Warn that a column counts as text and clearly is none."""
    warn_user(
        f"Column {column!r} holds {kind}, for example {example}. It counts as text{advise(kind)}."
    )


def _find_common(find: Callable[[str], str | None], texts: list[str]) -> str | None:
    """Return what is found in more than half of the texts."""
    found, count = Counter(map(find, texts)).most_common(1)[0]
    return found if count > len(texts) / 2 else None


def _find_encoding(text: str) -> str | None:
    """Return how a file, or an object of Python, has been made text."""
    if _DATA_URI.match(text):
        return DATA_URIS
    if text.startswith("<") and len(text) < MAX_NAME and _OBJECT.fullmatch(text):
        return OBJECTS_AS_TEXT
    escaped = _BYTES.match(text)
    if escaped is not None and _infer_head(_unescape(escaped[1])):
        return BYTES_AS_TEXT
    if "\0" in text[:MAX_NAME]:
        return DECODED_BYTES
    digits = _HEX.fullmatch(text.strip())
    if digits is not None and _infer_head(bytes.fromhex(digits[1][: 2 * N_HEAD])):
        return HEX
    quoted = _QUOTED.fullmatch(text.strip()) if len(text) < MAX_NAME else None
    if quoted is not None and name_medium(quoted["first"]):
        return QUOTED_PATHS
    if _BASE64.fullmatch(text.strip()) and _infer_head(_decode_base64(text.strip()[:24])):
        return BASE64
    return None


def _find_other_strings(text: str) -> str | None:
    text = text.strip()
    if text and all(map(_URL.fullmatch, text.split())):
        return URLS
    if _OTHER_PATH.fullmatch(text):
        return OTHER_PATHS
    if _VECTOR.fullmatch(text):
        return VECTORS_AS_TEXT
    if _BYTES.match(text) and "\\x" in text:
        return BYTES_AS_TEXT
    is_base64 = len(text) >= MIN_ENCODED and len(text) % 4 == 0 and _BASE64.fullmatch(text)
    return BASE64 if is_base64 and _UPPER_LOWER_DIGIT.match(text) else None


def _unescape(text: str) -> bytes:
    raw = text.encode("latin-1", "ignore").decode("unicode_escape", "ignore")
    return raw.encode("latin-1", "ignore")[:N_HEAD]


def _decode_base64(text: str) -> bytes:
    text = text[: len(text) // 4 * 4].replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text)[:N_HEAD]
    except ValueError:
        return b""


# Files


def infer_file(cell: Any) -> str | None:
    """Infer the modality of a file, a path or its bytes; None if there is none, or unreadable.

    Many are known by their first bytes. What may be a sound or a video is a sound if it has such a
    name, and else what FFmpeg finds in it; all others are shown to the decoders.
    """
    is_path = isinstance(cell, str | os.PathLike)
    if is_path and not _find_file(cell):
        return None
    try:
        with open_encoded(cell) as file:
            head = file.read(N_HEAD)
    except BrokenItemError:
        return None
    modality = _infer_head(head)
    if modality is None:
        return _ask_pillow(cell) or _ask_ffmpeg(cell) or _ask_libsndfile(cell)
    if modality == "image" or _SOUND_OR_VIDEO.match(head) is None:
        return modality
    by_name = name_medium(os.fsdecode(cell)) if is_path else None
    return by_name if by_name == "audio" else _ask_ffmpeg(cell) or by_name or modality


def _find_file(path: str | os.PathLike) -> bool:
    path = os.fsdecode(expand_home(path))
    return len(path) <= MAX_NAME and "\0" not in path and os.path.isfile(path)


def _infer_head(head: bytes) -> str | None:
    return next((modality for modality, fits in _MAGIC if fits(head)), None)


def _ask_pillow(cell: Any) -> str | None:
    try:
        with quiet_pillow():
            check_image(cell, max_pixels=sys.maxsize)
    except (BrokenItemError, ImportError):
        return None
    return "image"


def _ask_ffmpeg(cell: Any) -> str | None:
    try:
        with open_encoded(cell) as file, open_container(file) as container:
            if find_pictures(container):
                return "video"
            return "audio" if container.streams.audio else None
    except (BrokenItemError, ImportError):
        return None


def _ask_libsndfile(cell: Any) -> str | None:
    try:
        check_sound(cell)
    except (BrokenItemError, ImportError):
        return None
    return "audio"
