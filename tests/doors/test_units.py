"""Every unit and prefix, the error texts, and that what is written can be read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.errors import UnitError
from roofline.units import UNITS, Dimension, format_count, format_quantity, parse_count, parse_quantity

DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
SMALL = {"m": 1e-3, "u": 1e-6, "n": 1e-9}

# base unit -> dimension, value of one of it in base units, prefixes that it takes
GRAMMAR: dict[str, tuple[Dimension, float, dict[str, float]]] = {
    "B": ("bytes", 1, DECIMAL | BINARY),
    "bit": ("bytes", 1 / 8, DECIMAL | BINARY),
    "B/s": ("bytes_per_s", 1, DECIMAL | BINARY),
    "bit/s": ("bytes_per_s", 1 / 8, DECIMAL | BINARY),
    "B/cycle": ("bytes_per_cycle", 1, {"": 1.0}),
    "FLOP": ("flops", 1, DECIMAL),
    "OP": ("flops", 1, DECIMAL),
    "FLOP/s": ("flops_per_s", 1, DECIMAL),
    "FLOPS": ("flops_per_s", 1, DECIMAL),
    "OPS": ("flops_per_s", 1, DECIMAL),
    "OP/s": ("flops_per_s", 1, DECIMAL),
    "FLOP/cycle": ("flops_per_cycle", 1, {"": 1.0}),
    "OP/cycle": ("flops_per_cycle", 1, {"": 1.0}),
    "Hz": ("frequency_hz", 1, {p: DECIMAL[p] for p in ("", "k", "M", "G")}),
    "s": ("time_s", 1, {"": 1.0} | SMALL),
    "min": ("time_s", 60, {"": 1.0}),
    "h": ("time_s", 3600, {"": 1.0}),
    "cycle": ("cycles", 1, {p: DECIMAL[p] for p in ("", "k", "M")}),
    "cycles": ("cycles", 1, {p: DECIMAL[p] for p in ("", "k", "M")}),
    "J/FLOP": ("energy_per_flop_j", 1, {"": 1.0, "p": 1e-12, "n": 1e-9}),
    "W": ("power_w", 1, {p: DECIMAL[p] for p in ("", "k", "M")}),
    "Wh": ("energy_j", 3600, {p: DECIMAL[p] for p in ("", "k", "M")}),
    "USD": ("usd", 1, {p: DECIMAL[p] for p in ("", "k", "M")}),
    "USD/h": ("usd_per_h", 1, {"": 1.0}),
    "USD/kWh": ("usd_per_kwh", 1, {"": 1.0}),
    "req": ("requests", 1, {p: DECIMAL[p] for p in ("", "k", "M")}),
    "req/s": ("requests_per_s", 1, {p: DECIMAL[p] for p in ("", "k", "M")}),
    "tok": ("tokens", 1, {p: DECIMAL[p] for p in ("", "k", "M", "G", "T")}),
    "tok/s": ("tokens_per_s", 1, {p: DECIMAL[p] for p in ("", "k", "M", "G")}),
}
SPELLINGS = {
    prefix + unit: (dimension, one * scale)
    for unit, (dimension, one, prefixes) in GRAMMAR.items()
    for prefix, scale in prefixes.items()
}
DIMENSIONS: list[Dimension] = sorted({dimension for dimension, _, _ in GRAMMAR.values()})


def test_the_grammar_is_closed() -> None:
    assert set(UNITS) == set(SPELLINGS)


@pytest.mark.parametrize("unit", sorted(SPELLINGS))
def test_every_prefix_and_unit(unit: str) -> None:
    dimension, one = SPELLINGS[unit]
    assert parse_quantity(f"3 {unit}", dimension) == pytest.approx(3 * one, rel=1e-15)
    assert parse_quantity(f"3{unit}", dimension) == parse_quantity(f" 3  {unit} ", dimension)


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("3.35 TB/s", "bytes_per_s", 3.35e12),
        ("80 GiB", "bytes", 80 * 2**30),
        ("81559 MiB", "bytes", 81559 * 2**20),
        ("989.4 TFLOP/s", "flops_per_s", 989.4e12),
        ("1978.9 TOP/s", "flops_per_s", 1978.9e12),
        ("400 Gbit/s", "bytes_per_s", 50e9),
        ("4096 FLOP/cycle", "flops_per_cycle", 4096),
        ("30 ms", "time_s", 0.03),
        ("2.4 us", "time_s", 2.4e-6),
        ("1e3 GB/s", "bytes_per_s", 1e12),
        ("0 B", "bytes", 0),
    ],
)
def test_values_are_correctly_rounded(text: str, dimension: Dimension, value: float) -> None:
    assert parse_quantity(text, dimension) == value  # exactly: no error from multiplying floats


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("80 GB", '"80 GB" is a size (bytes)'),
        ("989 TFLOP/s", '"989 TFLOP/s" is a compute rate (flops_per_s)'),
        ("3.35", '"3.35" has no unit'),
        (3350, '"3350" has no unit'),
        ("400 Gb/s", '"400 Gb/s" has the unknown unit "Gb/s" (did you mean GB or Gbit per s?)'),
        ("1 KB/s", '"1 KB/s" has the unknown unit "KB/s" (did you mean kB or KiB per s?)'),
        ("1 gb/s", '"1 gb/s" has the unknown unit "gb/s"'),
        ("1 parsec", '"1 parsec" has the unknown unit "parsec"'),
        ("nan", '"nan" has no finite number'),
        ("inf GB/s", '"inf GB/s" has no finite number'),
        ("1e400 GB/s", '"1e400 GB/s" has no finite number'),
        ("1,000 GB/s", '"1,000 GB/s" has no finite number'),
        (".5 GB/s", '".5 GB/s" has no finite number'),
        ("GB/s", '"GB/s" has no finite number'),
        ("-3 GB/s", '"-3 GB/s" is negative'),
        ("", '"" is empty'),
        ("  ", '"  " is empty'),
        (None, '"None" is not a quantity'),
        (True, '"True" is not a quantity'),
        (["1 GB/s"], "\"['1 GB/s']\" is not a quantity"),
        ("1 TB/s\nx", '"1 TB/s\\nx" has the unknown unit "TB/s\\nx"'),
    ],
)
def test_errors_say_what_was_given_and_what_was_expected(text: object, problem: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_quantity(text, "bytes_per_s")
    assert str(caught.value) == f'{problem}, expected a rate such as "3.35 TB/s"'


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_example_in_an_error_is_right(dimension: Dimension) -> None:
    with pytest.raises(UnitError) as caught:
        parse_quantity("", dimension)
    assert parse_quantity(str(caught.value).split('such as "')[1].rstrip('"'), dimension) > 0


@given(st.text(max_size=80), st.sampled_from(DIMENSIONS))
def test_any_text_is_a_quantity_or_one_line(text: str, dimension: Dimension) -> None:
    try:
        value = parse_quantity(text, dimension)
    except UnitError as failure:
        lines = str(failure).splitlines()
    else:
        lines = [str(value)]
        assert 0 <= value < math.inf
    assert len(lines) == 1


def test_a_long_text_is_refused_at_once() -> None:
    with pytest.raises(UnitError, match=r"no finite number"):
        parse_quantity("1" * 100_000 + " GB/s", "bytes_per_s")


@given(st.floats(min_value=1e-8, max_value=1e20), st.sampled_from(DIMENSIONS), st.booleans())
def test_a_written_quantity_is_read_back(value: float, dimension: Dimension, binary: bool) -> None:
    text = format_quantity(value, dimension, binary=binary)
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=0.005)  # three digits
    assert parse_quantity(format_quantity(value, dimension, 17), dimension) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (3.35e12, "bytes_per_s", "3.35 TB/s"),
        (0.0918, "time_s", "91.8 ms"),
        (16.1e9, "bytes", "16.1 GB"),
        (27.6e12, "flops", "27.6 TFLOP"),
        (999.96e9, "bytes", "1.00 TB"),  # rounding carries into the next prefix
        (999.4e9, "bytes", "999 GB"),
        (512, "bytes", "512 B"),
        (4096, "flops_per_cycle", "4096 FLOP/cycle"),
        (0, "time_s", "0 s"),
        (1200, "time_s", "1200 s"),
        (-3e-3, "time_s", "-3.00 ms"),
        (2.71, "usd_per_h", "2.71 USD/h"),
    ],
)
def test_quantities_read_well(value: float, dimension: Dimension, text: str) -> None:
    assert format_quantity(value, dimension) == text


def test_sizes_can_be_written_in_binary() -> None:
    assert format_quantity(80 * 2**30, "bytes", binary=True) == "80.0 GiB"
    assert format_quantity(80 * 2**30, "bytes") == "85.9 GB"
    assert format_quantity(1e6, "flops", binary=True) == "1.00 MFLOP"  # work has no binary prefix


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_written(value: float) -> None:
    with pytest.raises(UnitError, match="is not finite"):
        format_quantity(value, "bytes")


@pytest.mark.parametrize(
    ("text", "count"),
    [("32k", 32_000), ("32Ki", 32_768), ("2048", 2048), ("1.5k", 1500), (" 4 M ", 4_000_000), ("0", 0), (7, 7)],
)
def test_counts(text: object, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1.5", "is not whole"),
        ("1.0001k", "is not whole"),
        ("32K", 'unknown prefix "K"'),
        ("32 tok", 'unknown prefix "tok"'),
        ("5m", 'unknown prefix "m"'),
        ("-1", "is negative"),
        ("", "is empty"),
        ("many", "no finite number"),
        (True, "is not a quantity"),
    ],
)
def test_what_is_no_count(text: object, problem: str) -> None:
    with pytest.raises(UnitError, match="expected a whole number") as caught:
        parse_count(text)
    assert problem in str(caught.value)


@given(st.integers(min_value=0, max_value=10**24))
def test_a_written_count_is_read_back_exactly(count: int) -> None:
    assert parse_count(format_count(count)) == count


@pytest.mark.parametrize(("count", "text"), [(32_000, "32k"), (131_072, "128Ki"), (2048, "2048"), (0, "0")])
def test_counts_read_well(count: int, text: str) -> None:
    assert format_count(count) == text
