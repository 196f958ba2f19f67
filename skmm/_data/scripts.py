"""Characters of the scripts that put no blanks between words."""

from __future__ import annotations

import unicodedata

# Letters and marks of the scripts that put no blanks between words. Digits and punctuation are left
# out: they are no different there.
_IDEOGRAPHS = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff"
_MORE_IDEOGRAPHS = "\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"
_BOPOMOFO = "\u3105-\u312f\u31a0-\u31bf"
_THAI_AND_LAO = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf"
_BURMESE = "\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"
_KHMER = "\u1780-\u17d3\u17d7\u17dc\u17dd"
UNSPACED = _IDEOGRAPHS + _MORE_IDEOGRAPHS + _KANA + _BOPOMOFO + _THAI_AND_LAO + _BURMESE + _KHMER
_VARIATION_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_BRAHMIC_BLOCKS = (range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800))
_MORE_BURMESE_BLOCKS = (range(0xA9E0, 0xAA00), range(0xAA60, 0xAA80))
MARKS = (
    _VARIATION_SELECTORS
    + "\u3099\u309a"
    + "".join(  # and the sound marks of kana
        chr(code)
        for block in _BRAHMIC_BLOCKS + _MORE_BURMESE_BLOCKS
        for code in block
        if unicodedata.category(chr(code)) in ("Mn", "Mc")
    )
)
ZERO_WIDTH_SPACE = "\u200b"  # marks words in Thai, Khmer and Burmese; no blank to `str.split`
