"""Prices: from the specs, from a user's text or file, each with kind, date and source; what is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.buying.prices import missing_price, offers_of, pick_offer, read_prices
from roofline.errors import RooflineError, SpecError, UsageError
from roofline.hardware.loading import load_every_hardware, load_hardware
from roofline.hardware.systems import load_every_system, load_system

FILE = """\
prices:
  - {hardware: h100, kind: reserved, value: 1.9 USD/h, date: "2026-11", source: our contract}
  - {hardware: mi300x, kind: purchase, value: 120000 USD, devices: 8, date: "2026-11", source: quote, confidence: low}
"""


def test_offers_carry_kind_date_and_source() -> None:
    for offer in (o for spec in load_every_hardware() for o in offers_of(spec)):
        assert offer.usd >= 0
        assert offer.date >= "2020"
        assert offer.source
        assert offer.devices == 1
    rent = pick_offer(offers_of(load_hardware("h100")), "on_demand")
    assert rent is not None
    assert (
        rent.words()
        == "h100-sxm-80gb 2.71 USD/h, on_demand, 2026-09-20, 70 days old (Akash GPU prices transcribed 2026-09-20)"
    )


def test_a_cloud_shape_is_had_whole() -> None:
    (offer,) = offers_of(load_system("aws-p5-48xlarge"))
    assert (offer.devices, offer.usd, offer.unverified) == (8, 55.04, True)
    assert offer.total_usd(1) == 55.04
    assert offer.total_usd(9) == 2 * 55.04
    for system in load_every_system():
        for offer in offers_of(system):
            assert offer.devices <= system.count


def test_a_count_of_devices_has_their_prices_and_a_box_without_any_those_of_its_device() -> None:
    one = offers_of(load_hardware("h100"))
    assert offers_of(load_system("8xh100")) == one
    assert offers_of(load_system("hgx-h100")) == one


def test_another_kind_is_no_substitute() -> None:
    offers = offers_of(load_hardware("l40s"))
    assert pick_offer(offers, "on_demand") is None
    told = missing_price("l40s", offers, "on_demand")
    assert told == "no on_demand price of l40s: it has purchase, spot (--price-kind); or --prices l40s=2.5USD/h"


def test_a_users_price_puts_that_of_its_kind_in_the_shade() -> None:
    given_ = read_prices("h100=1.5USD/h")
    offers = offers_of(load_hardware("h100"), given_)
    assert sorted(offer.kind for offer in offers) == ["on_demand", "purchase"]
    assert pick_offer(offers, "on_demand") == given_[0]
    assert offers_of(load_hardware("t4"), given_) == offers_of(load_hardware("t4"))


def test_an_inline_price_is_of_the_kind_that_is_asked_for() -> None:
    assert [offer.kind for offer in read_prices("h100=1USD/h,t4=900USD", "spot")] == ["spot", "purchase"]
    assert read_prices("h100=1USD/h", "purchase")[0].kind == "on_demand"


def test_a_file_of_prices(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(FILE)
    rent, box = read_prices(str(path))
    assert (rent.kind, rent.usd, rent.date, rent.source) == ("reserved", 1.9, "2026-11", "our contract")
    assert (box.shape, box.devices, box.unverified) == ("mi300x", 8, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("h100", 'expected h100=2.71USD/h,l40s=8500USD or a YAML file'),
        ("h100=", "expected h100=2.71USD/h"),
        ("=2USD/h", "expected h100=2.71USD/h"),
        ("h100=2.71", "has no unit"),
        ("h100=-2USD/h", "is negative"),
        ("h100=2EUR/h", "unknown unit"),
        ("h100=2 GB", "is a size"),
        ("h10=2USD/h", "unknown hardware 'h10'; did you mean"),
        ("8xh100=20USD/h", "a price is that of one h100"),
        ("h100=2USD/h,h100-sxm=3USD/h", "two on_demand prices; give one"),
    ],
)  # fmt: skip
def test_bad_prices_are_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(RooflineError) as caught:
        read_prices(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{hardware: h100, kind: rent, value: 1 USD/h, date: 2026, source: x}", "prices.0.kind: given"),
        ("{hardware: h100, kind: spot, value: 1 USD, date: 2026, source: x}", "expected a price per hour" ),
        ("{hardware: h100, kind: spot, value: 1 USD/h, source: x}", "prices.0.date: missing"),
        ("{hardware: h100, kind: spot, value: 1 USD/h, date: 2026}", "prices.0.source: missing"),
        ("{hardware: h100, kind: spot, value: 1 USD/h, date: 2026, source: x, devices: 0}", "at least 1"),
        ("{hardware: nothing, kind: spot, value: 1 USD/h, date: 2026, source: x}", "unknown hardware"),
    ],
)  # fmt: skip
def test_bad_files_of_prices_are_refused_in_one_line(line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(f"prices:\n  - {line}\n")
    with pytest.raises(RooflineError) as caught:
        read_prices(str(path))
    assert told in str(caught.value)


def test_a_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_prices(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match="expected"):
        read_prices("none")


@given(st.text(max_size=40))
def test_any_text_is_prices_or_one_line(text: str) -> None:
    with suppress(RooflineError):  # anything else would be a traceback
        assert all(offer.usd >= 0 for offer in read_prices(text))
