"""Numbers written as text: which are read, in which unit, and what is left as it is."""

import re

import numpy as np
import pandas as pd
import pytest

from skmm import ModalityTransformer, TabularEncoder, infer_modalities
from skmm.compose._numerals import Amount, find_notation, read_amount, read_number

POUND, OUNCE, INCH, FOOT = 453.59237, 28.349523125, 2.54, 30.48


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("45%", (45, "%")),
        (" 45 % ", (45, "%")),
        ("1,234", (1234, "")),
        ("1 234 567.5", (1234567.5, "")),
        ("-0.5", (-0.5, "")),
        (".5", (0.5, "")),
        ("1.5e3", (1500, "")),
        ("$12.50", (12.5, "USD")),
        ("-$12.50", (-12.5, "USD")),
        ("12.50 €", (12.5, "EUR")),
        ("EUR 3", (3, "EUR")),
        ("Rs. 1,200", (1200, "INR")),
        ("€110.5M", (110.5e6, "EUR")),
        ("£565K", (565e3, "GBP")),
        ("5K", (5, "K")),
        ("2M", (2000, "K")),
        ("1 lb. 5 oz.", (POUND + 5 * OUNCE, "g")),
        ("1 lb, 15 oz", (POUND + 15 * OUNCE, "g")),
        (" 4.3lbs", (4.3 * POUND, "g")),
        ("9.4 oz", (9.4 * OUNCE, "g")),
        ("1.5 kg", (1500, "g")),
        ('13"', (13 * INCH, "cm")),
        ('43".', (43 * INCH, "cm")),
        ("12in", (12 * INCH, "cm")),
        ("5'11\"", (5 * FOOT + 11 * INCH, "cm")),
        ("6 ft 2 in", (6 * FOOT + 2 * INCH, "cm")),
        ("25 mm", (2.5, "cm")),
        ("12 GB", (12_000, "MB")),
        ("512 MB", (512, "MB")),
        ("2 h 30 min", (2.5 / 24, "day")),
        ("3 weeks", (21, "day")),
        ("20°C", (20, "°c")),
        ("100 km/h", (100, "km/h")),
        ("3 m/s", (3, "m/s")),
        ("5 ms", (5 / 86_400_000, "day")),
        ("850 sq. ft.", (850, "sqft")),
        ("A$12.50", (12.5, "AUD")),
        ("R$ 1,200", (1200, "BRL")),
        ("300 Kč", (300, "CZK")),
        ("1 seat", (1, "seat")),
        ("4 seats", (4, "seat")),
    ],
)
def test_amounts(text, amount):
    value, unit = read_amount(text)
    assert unit == amount[1]
    assert value == pytest.approx(amount[0])


@pytest.mark.parametrize(
    "text",
    ["", "N/A", "about 5", "01234", "2021-05-01", "12:30", "1.2.3", "555-1234", "+1 555 123 4567",
     "3-5", "18+", "1/2\"", "15.25\"Lx14.25\"W", "1,23,4", "5 oz 1 lb", "1 lb 2 lb", "5 kg 3 m",
     "$5 kg", "$5 €", "3 red chairs", "A4", "83.pdf", "-", "5" * 41],
)  # fmt: skip
def test_no_amounts(text):
    assert read_amount(text) is None


def test_decimal_commas():
    assert read_amount("1.234,5 kg", ",") == Amount(1_234_500, "g")
    assert find_notation(["1,5", "2,25", "3"]) == (",", "")
    assert find_notation(["1,500", "2,250", "3"]) == (".", "")
    assert find_notation(["1,500", "2.5", "3"]) == (".", "")
    assert find_notation(["1.500,00", "2,50"]) == (",", "")


MANY = range(7, 128)
NOT_NUMBERS = {
    "postcodes": [f"{i:05}" for i in range(900, 1100)],
    "postcodes without zeros": [f"{10_000 + 37 * i}" for i in MANY],
    "years": [str(1950 + i % 70) for i in range(200)],
    "ids": [str(i) for i in range(1, 200)],
    "phone numbers": [f"{5_551_000_000 + 7_919 * i}" for i in MANY] + ["15557654321"],
    "grouped phone numbers": [f"555 {100 + i} {999 - i}" for i in MANY],
    "versions": ["1.2.3", "1.10", "2.0.1"] * 10,
    "two-part versions": ["3.9", "3.10", "3.11"] * 10,
    "codes of categories": ["1", "2", "3", "12"] * 20,
    "dates": ["2021-05-01", "2021-05-02"],
    "times": ["12:30", "1:15"],
    "film titles": ["12 Monkeys", "7 Samurai", "8 Women", "21 Grams"],
    "house numbers": ["1", "2A", "14B", "7"] * 5,
    "ranges": ["10-20", "20-30"] * 5,
    "half of them numbers": ["$5", "$6", "cheap", "dear"] * 5,
    "nothing": ["N/A", "-"],
    "one number": ["5 kg", "5 kg"],
    "units that do not convert": ["5 kg", "3 m"] * 5,
    "currencies": ["$5", "€6"] * 5,
    "fractions and per cent": ["5%", "0.05"] * 5,
}


@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_what_is_in_doubt_is_not_read(name):
    assert find_notation(NOT_NUMBERS[name]) is None


NUMBERS = {
    "per cent": [f"{i}%" for i in MANY],
    "thousands": [f"{1000 * i:,}" for i in MANY],
    "dollars": [f"${i}.00" for i in MANY],
    "some with dollars": [f"${i}" for i in MANY[:9]] + [str(i) for i in MANY[9:]],
    "kilograms": [f"{i}.0 kg" for i in MANY],
    "kilograms and grams": [f"{i} kg" if i % 2 else f"{1000 * i} g" for i in MANY],
    "seats": [f"{i} seats" for i in MANY],
    "decimals": [f"{i}.5" for i in MANY],
    "counts": [str(i * 10) for i in (*MANY, *MANY)],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_columns_of_numbers_as_text(name):
    texts = NUMBERS[name]
    frame = pd.DataFrame({"column": [*texts, None, "N/A"], "other": range(len(texts) + 2)})
    assert infer_modalities(frame).loc["column", "modality"] == "tabular"
    encoder = TabularEncoder().fit(frame)
    assert encoder.kinds_["column"] == "numbers"
    encoded = pd.DataFrame(encoder.transform(frame), columns=encoder.get_feature_names_out())
    numbers = np.array([float(re.sub(r"[^\d.]", "", text)) for text in texts])
    if name == "kilograms and grams":
        numbers = np.array(MANY)
    found = encoded["column"].to_numpy()[: len(texts)]
    np.testing.assert_allclose(np.corrcoef(found, numbers)[0, 1], 1)
    assert encoded["column_missing"].tolist() == [0] * len(texts) + [1, 1]
    spread = np.std([*numbers, *[np.median(numbers)] * 2])
    np.testing.assert_allclose(np.ptp(found), np.ptp(numbers) / spread, rtol=1e-5)


UNITS = [("°C", "°F"), ("C", "F"), ("km/h", "mph"), ("kWh", "J"), ("m²", "sq ft"), ("ha", "acres"),
         ("l/100 km", "mpg"), ("fl oz", "ml"), ("A$", "C$"), ("kr", "€"), ("°C", "K")]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), UNITS)
def test_different_units_are_told_apart(first, second):
    texts = [f"{number} {unit}" for unit in (first, second) for number in range(7, 47)]
    frame = pd.DataFrame({"column": texts * 3})
    with pytest.warns(UserWarning, match=rf"column.*7 {re.escape(first)}.*7 {re.escape(second)}"):
        assert infer_modalities(frame).loc["column", "kind"] == "numbers in different units"
    with pytest.warns(UserWarning, match=rf"column.*7 {re.escape(first)}.*7 {re.escape(second)}"):
        assert TabularEncoder().fit(frame).kinds_["column"] == "categories"


def test_words_are_no_units():
    texts = [f"{number} {word}" for word in ("Monkeys", "Rooms") for number in range(7, 47)]
    assert (
        infer_modalities(pd.DataFrame({"column": texts * 3})).loc["column", "kind"] == "categories"
    )


@pytest.mark.filterwarnings("ignore:.*different units")
@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_columns_in_doubt_remain_categories_or_text(name):
    kinds = TabularEncoder().fit(pd.DataFrame({"column": NOT_NUMBERS[name]})).kinds_
    assert kinds == {"column": "dates" if name == "dates" else "categories"}


def test_what_cannot_be_read_is_missing_with_a_warning():
    texts = [f"{i} kg" for i in MANY]
    texts[5] = "heavy"
    frame = pd.DataFrame({"weight": texts, "n": MANY}, index=[f"r{i}" for i in MANY])
    with pytest.warns(UserWarning, match=r"'weight'.*'heavy' in row 5 \(index 'r12'\)") as caught:
        encoder = TabularEncoder().fit(frame)
    assert caught[0].filename == __file__
    new = pd.DataFrame({"weight": ["8 kg", "tall", "8000 g", None, "?", "8 m"], "n": 1})
    with pytest.warns(UserWarning, match=r"'weight'.*'tall' in row 1\b"):
        encoded = encoder.transform(new)
    assert encoded[0, 0] == encoded[2, 0] == encoder.transform(frame.iloc[1:2])[0, 0]
    missing = encoder.get_feature_names_out().tolist().index("weight_missing")
    assert encoded[:, missing].tolist() == [0, 1, 0, 1, 1, 1]


def test_numbers_without_their_unit_at_transform():
    frame = pd.DataFrame({"weight": [f"{i} kg" for i in MANY], "share": [f"{i}%" for i in MANY]})
    encoder = TabularEncoder().fit(frame)
    with pytest.raises(ValueError, match=r"'weight'.*'3 g'.*unit"):
        encoder.transform(frame.assign(weight=5.0))
    shares = encoder.transform(frame.assign(share=list(MANY)))
    np.testing.assert_array_equal(shares, encoder.transform(frame))
    gaps = encoder.transform(frame.assign(weight=np.nan))
    assert np.isfinite(gaps).all()
    with pytest.raises(ValueError, match=r"'share'.*dates"):
        encoder.transform(frame.assign(share=pd.Timestamp("2026-01-01")))


def test_units_that_cannot_be_compared_are_told():
    few = pd.DataFrame({"size": ["5 kg", "3 m"] * 10})
    with pytest.warns(UserWarning, match=r"'size'.*'5 kg' and '3 m'.*turn") as caught:
        TabularEncoder().fit(few)
    assert caught[0].filename == __file__
    many = pd.DataFrame({"price": [f"{'$' if i % 2 else '€'}{i}.25" for i in MANY]})
    with pytest.warns(UserWarning, match=r"'price'.*'\$7\.25' and '€8\.25'"):
        found = infer_modalities(many)
    assert found.loc["price", "modality"] == "text"


def test_numbers_as_text_go_through_the_default_pipeline():
    prices = [f"${i},000.50" for i in MANY]
    encoded = ModalityTransformer().fit_transform(pd.DataFrame({"price": prices}))
    assert encoded.columns.to_list() == ["tabular__price"]
    np.testing.assert_allclose(encoded["tabular__price"].std(ddof=0), 1, rtol=1e-5)


WHOLE = [f"{n} €" for n in range(100, 999, 37)]
SEPARATED = [f"{n}.{m} €" for n, m in zip(range(1, 99, 8), range(104, 999, 61), strict=False)]


@pytest.mark.parametrize(
    ("texts", "read"),
    [
        ([*WHOLE, *SEPARATED, "17.208 €"], 17208),
        ([*WHOLE, *SEPARATED, "1.017.208 €"], 1017208),
        ([*WHOLE, *SEPARATED, "1.2 €"], 1.2),  # so these are decimals
        ([*WHOLE, *SEPARATED, "0.378 €"], 0.378),
        ([*SEPARATED, "17.208 €"], 17.208),  # nobody knows
        ([*WHOLE, "17.208 €"], 17.208),
        (["5,736 kg", "2,435 kg", "0,378 kg"], 378),  # grams, for nothing is written 0,378 but .378
        (["5,736 kg", "2,435 kg", "1,378 kg"], 1378e3),
    ],
)
def test_marks_of_thousands_and_decimals_are_told_by_the_column(texts, read):
    notation = find_notation(texts)
    assert read_number(texts[-1], notation) == pytest.approx(read)
