"""Collectives over links: the forms, the fastest of them, domains and what lies beyond."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.calibration.constants import load_constants
from roofline.calibration.link_constants import load_links
from roofline.calibration.provenance import constants_of
from roofline.errors import WorkloadError
from roofline.hardware.loading import load_every_hardware, load_hardware
from roofline.operators.predict_op import predict_op
from roofline.prediction.fleet import Fleet, fleet_of
from roofline.program.transfers import PASSES, sent_bytes
from roofline.timing.collectives import time_transfer
from roofline.timing.networks import LinkUse, Network, generation_of, joined_by, network_of

OPERATIONS = st.sampled_from(sorted(PASSES))
SIZES = st.floats(1, 1e10)


@cache
def network(hardware: str, count: int, provenance: Any = None, all_reduce: str = "nccl") -> Network:
    device = load_hardware(hardware)
    fleet = fleet_of(hardware)
    use = LinkUse(all_reduce=all_reduce)
    return network_of(device, count, fleet.links, constants_of(device, provenance), use)


def seconds(net: Network, operation: str, size: float, devices: int, stride: int = 1) -> float:
    return float(time_transfer(operation, size, devices, stride, net).time_s)


def test_the_bound_by_hand() -> None:
    """8 H100 at 450 GB/s: a gather of 1 GB receives 7/8 of it; a switch that adds up needs 9/8 to reduce everywhere."""
    net = network("h100", 8, "datasheet")
    assert seconds(net, "all_gather", 1e9, 8) == pytest.approx(0.875e9 / 450e9)
    assert seconds(net, "all_reduce", 1e9, 8) == pytest.approx(1.125e9 / 450e9)
    assert seconds(network("a100", 8, "datasheet"), "all_reduce", 1e9, 8) == pytest.approx(1.75e9 / 300e9)


@pytest.mark.parametrize("operation", sorted(PASSES))
def test_one_kind_of_links_joins_all_devices_whatever_lies_between(operation: str) -> None:
    net = network("rubin-288gb", 16)
    assert net.near is net.far
    near, apart = seconds(net, operation, 1e9, 16), seconds(net, operation, 1e9, 16, stride=16)
    assert near > 0
    assert apart == pytest.approx(near)


def test_the_fastest_form_is_named() -> None:
    net = network("h100", 8, None, "vllm")
    names = [str(time_transfer("all_reduce", size, 8, 1, net).form) for size in (1e3, 4e6, 1e9)]
    assert names == ["one-shot", "two-shot", "in-switch"]
    assert str(time_transfer("all_gather", 1e6, 8, 1, net).form) == "ring"
    assert str(time_transfer("all_reduce", 1e9, 8, 1, network("a100", 8)).form) == "ring"


@pytest.mark.parametrize(
    ("library", "operation", "size", "measured"),
    [
        ("nccl", "all_reduce", 4096, 15.6e-6),
        ("vllm", "all_reduce", 4096, 4.8e-6),
        ("trtllm", "all_reduce", 4096, 3.3e-6),
        ("nccl", "all_gather", 2**20, 19.1e-6),
    ],
)
def test_collectives_of_8_h100_by_library(library: str, operation: str, size: int, measured: float) -> None:
    """Rows of measured/devices/h100_sxm, to the microsecond that their tables have."""
    assert seconds(network("h100", 8, None, library), operation, size, 8) == pytest.approx(measured, rel=0.25)


def test_an_engine_reduces_small_messages_itself_and_leaves_the_rest_to_nccl() -> None:
    """8 MiB and 8 devices, as in vLLM."""
    nccl, vllm = (network("gb200", 16, None, name) for name in ("nccl", "vllm"))
    for size, devices, same in ((2**22, 8, False), (2**23 + 1, 8, True), (2**20, 16, True)):
        alike = seconds(vllm, "all_reduce", size, devices) == seconds(nccl, "all_reduce", size, devices)
        assert alike is same
    for operation in ("all_gather", "reduce_scatter", "all_to_all"):
        assert seconds(vllm, operation, 2**20, 8) == seconds(nccl, operation, 2**20, 8)


def test_a_device_without_rows_is_no_faster_than_its_slowest_relative() -> None:
    """Latencies of its generation, or of all; every assumed link waits longer than any switch that was measured."""
    links = load_links()
    measured = links.measured["switch"]
    for device, relatives in (("h20", ("h100-sxm-80gb", "h200-sxm-141gb")), ("a100-pcie", ("a100-sxm-80gb",)),
                              ("mi300x", tuple(measured))):  # fmt: skip
        spec = load_hardware(device)
        found = links.of("switch", spec.name, generation_of(spec), joined_by(spec))
        assert found.ring.first == max(measured[name].ring.first for name in relatives)
        assert found.ring.each == max(measured[name].ring.each for name in relatives)
        assert found.ring.band.high > max(measured[name].ring.band.high for name in relatives)
    unseen = links.of("switch", "h100-sxm-80gb", "Hopper", "8 at 450 GB/s", without="h100-sxm-80gb")
    assert unseen.ring.first == measured["h200-sxm-141gb"].ring.first
    for kind in links.links.values():
        assert kind.ring.first >= max(own.ring.first for own in measured.values())


def test_a_library_that_others_were_timed_with_is_as_slow_as_the_links_are() -> None:
    """Against those others; a kernel that the host launches is not."""
    links, name = load_links(), "a100-sxm-80gb"
    own = links.measured["switch"][name]
    assert own.all_reduce.keys() == {"trtllm"}
    found = {}
    for factor in (1.0, 2.0):
        slower = {**links.measured["switch"], name: own.scaled(factor)}
        known = links.model_copy(update={"measured": {"switch": slower}})
        found[factor] = known.of("switch", name, own.generation, own.joined).all_reduce
    assert found[2.0]["vllm"].first == pytest.approx(2 * found[1.0]["vllm"].first)
    assert found[2.0]["vllm-eager"].first == found[1.0]["vllm-eager"].first
    band, donor = found[1.0]["vllm"].band, links.measured["switch"]["b200-180gb"].all_reduce["vllm"].band
    assert band.low < donor.low < donor.high < band.high


def test_beyond_a_domain_the_network_carries_a_part_of_the_message() -> None:
    """Two nodes of 8: each device reduces an eighth of the message with its peer, over its own NIC."""
    net = network("h100", 16, "datasheet")
    whole = seconds(net, "all_reduce", 1e9, 16)
    scatter, gather, across = 0.875e9 / 450e9, 0.875e9 / 450e9, (1e9 / 8) / 50e9
    assert whole == pytest.approx(scatter + across + gather)
    assert str(time_transfer("all_reduce", 1e9, 16, 1, network("h100", 16)).form) in (
        "hierarchical",
        "ring through all",
    )


def test_devices_that_are_far_apart_use_the_network_alone() -> None:
    net = network("h100", 64, "datasheet")
    assert seconds(net, "all_gather", 1e9, 8, stride=8) == pytest.approx(0.875e9 / 50e9)
    assert seconds(net, "all_gather", 1e9, 8, stride=1) == pytest.approx(0.875e9 / 450e9)


def test_a_mesh_has_a_link_to_each_peer() -> None:
    """MI300X: 64 GB/s between two, 7 x 64 among eight; two reach 47.7 GB/s of bus bandwidth (ml-engineering)."""
    net = network("mi300x", 8, "datasheet")
    assert seconds(net, "all_reduce", 1e9, 2) == pytest.approx(1e9 / 64e9)
    assert seconds(net, "all_reduce", 1e9, 8) == pytest.approx(1.75e9 / 448e9)
    for devices, reached in ((2, 47.7e9), (8, 313e9)):
        sent = 2 * 16e9 * (devices - 1) / devices
        assert seconds(network("mi300x", 8), "all_reduce", 16e9, devices) == pytest.approx(sent / reached, rel=0.1)


@pytest.mark.parametrize(
    ("device", "devices", "reached"),
    [("h100", 8, 445e9), ("h200", 8, 460e9), ("b200", 8, 704e9), ("b300", 8, 704e9), ("gb200", 4, 628e9)],
)
def test_measured_bus_bandwidths_are_met(device: str, devices: int, reached: float) -> None:
    """All-reduce of 512 MiB by NCCL (aiconfigurator's tables, as in the hardware facts)."""
    size = 512 * 2**20
    form = time_transfer("all_reduce", size, devices, 1, network(device, devices))
    measured = 2 * size * (devices - 1) / devices / reached
    assert measured == pytest.approx(form.time_s, rel=0.2)
    assert measured >= form.bound_s


@pytest.mark.parametrize(
    ("device", "kernel"), [("h100", 3.2e-6), ("h200", 2.9e-6), ("b200", 4.8e-6), ("gb200", 4.1e-6)]
)
def test_measured_latencies_lie_in_the_band(device: str, kernel: float) -> None:
    """The least time of TensorRT-LLM's one-shot kernel among 8 devices, same source."""
    form = time_transfer("all_reduce", 256.0, 8, 1, network(device, 8, None, "trtllm"))
    assert form.low_s <= kernel <= form.high_s


@given(OPERATIONS, SIZES, st.integers(1, 7), st.sampled_from(("h100", "mi300x", "a100", "tpu-v5p", "gb200")),
       st.sampled_from(("nccl", "vllm", "trtllm")))  # fmt: skip
def test_laws(operation: str, size: float, power: int, device: str, library: str) -> None:
    devices = 2**power
    net = network(device, 256, None, library)
    form = time_transfer(operation, size, devices, 1, net)
    assert 0 < form.bound_s <= form.low_s * (1 + 1e-12) <= form.time_s * (1 + 1e-12) <= form.high_s * (1 + 1e-12)
    assert 0 <= form.share("link") <= 1
    assert form.latency_s + form.link_s == pytest.approx(form.time_s)
    assert seconds(net, operation, 2 * size, devices) >= form.time_s * (1 - 1e-9)


@given(OPERATIONS, SIZES, st.integers(1, 7), st.sampled_from(("h100", "a100", "b200")))
def test_twice_the_devices_never_say_the_same_sooner(operation: str, size: float, power: int, device: str) -> None:
    """What one link bounds does not get faster with more devices, whose message is as large.

    Where a switch adds up, a device sends (n + 1)/n of the message: down to the message itself, and no less.
    """
    net = network(device, 256, "datasheet")
    few, many = (seconds(net, operation, size, n) for n in (2**power, 2 ** (power + 1)))
    if operation == "all_reduce" and net.near.reduces:
        few = min(few, size / net.near.bandwidth)
    assert many >= few * (1 - 1e-9)


def test_arrays_equal_numbers() -> None:
    net = network("h100", 64)
    sizes, devices, strides = np.meshgrid([1e3, 1e6, 1e9], [1, 2, 8, 16, 64], [1, 8])
    for operation in (*PASSES, "send"):
        many = time_transfer(operation, sizes, devices, strides, net)
        for index in np.ndindex(sizes.shape):
            one = time_transfer(operation, float(sizes[index]), int(devices[index]), int(strides[index]), net)
            assert many.time_s[index] == pytest.approx(float(one.time_s), rel=1e-12)
            assert np.broadcast_to(many.form, sizes.shape)[index] == str(one.form)


def test_one_device_takes_no_time() -> None:
    assert seconds(network("h100", 8), "all_reduce", 1e9, 1) == 0


def test_a_pipeline_within_a_domain_and_across() -> None:
    net = network("h100", 16, "datasheet")
    assert seconds(net, "send", 1e9, 4, stride=2) == pytest.approx(1e9 / 450e9)
    assert seconds(net, "send", 1e9, 2, stride=8) == pytest.approx(1e9 / 50e9)
    assert seconds(net, "send", 1e9, 16, stride=1) == pytest.approx((14 * 1e9 / 450e9 + 1e9 / 50e9) / 15)


def test_shares_are_elasticities() -> None:
    net = network("h100", 64)
    for operation in (*PASSES, "send"):
        form = time_transfer(operation, 1e8, 64, 1, net)
        step = 1e-6
        faster, slower = (seconds(net.scaled(link=1 + s), operation, 1e8, 64) for s in (step, -step))
        assert np.log(slower / faster) / (2 * step) == pytest.approx(float(form.share("link")), abs=1e-3)


def test_devices_without_links_are_refused_in_one_line() -> None:
    with pytest.raises(WorkloadError, match="8 x laptop-cpu: no link joins them"):
        network("laptop-cpu", 8)
    device = load_hardware("h100")
    bare = device.model_copy(update={"links": {"scale_up": device.links["scale_up"]}})
    with pytest.raises(WorkloadError, match=r"join 8\); add links.scale_out"):
        network_of(bare, 16, {}, load_constants("nvidia-tensor-core"))


@pytest.mark.parametrize(
    ("device", "kind"),
    [("mi300x", "xgmi"), ("mi210", "xgmi"), ("gaudi3", "mesh"), ("v100", "mesh"), ("tpu-v4", "torus")],
)
def test_links_of_amd_have_constants_of_their_own_and_others_a_wider_band(device: str, kind: str) -> None:
    (tier,) = network(device, 4).tiers[:1]
    assert tier.kind == kind
    assert tier.constants is not None
    seen, own = load_links().links["xgmi"].ring.band, tier.constants.ring.band
    assert (own.low, own.high) == (seen.low, seen.high) if kind == "xgmi" else own.low < seen.low


def test_every_device_with_links_has_constants_for_them() -> None:
    kinds = {*load_links().links, *load_links().measured}
    for device in load_every_hardware():
        up = device.links.get("scale_up")
        if up is not None and up.topology is not None:
            assert up.topology in kinds, device.name


def test_a_system_states_its_own_links() -> None:
    fleet = fleet_of("aws-p5-48xlarge")
    assert (fleet.count, fleet.counted) == (8, True)
    assert isinstance(fleet_of("h100"), Fleet)
    assert not fleet_of("h100").counted


def test_a_box_of_bridged_pairs_is_joined_by_its_host() -> None:
    """A pair has its bridge; more go at the pace of the same devices without one. A superchip has a host alone."""
    boxed, pair = network("a100-pcie-80gb", 8), network("a100-pcie-80gb", 2)
    hosted = replace(boxed, tiers=boxed.tiers[1:])
    for operation in PASSES:
        assert (
            seconds(boxed, operation, 1e8, 2) == seconds(pair, operation, 1e8, 2) < seconds(hosted, operation, 1e8, 2)
        )
        assert seconds(boxed, operation, 1e8, 4) == seconds(hosted, operation, 1e8, 4)
    with pytest.raises(WorkloadError, match="2 x gh200-96gb: no link joins them"):
        network("gh200-96gb", 2)


def test_tokens_for_several_experts_cross_the_network_once_a_domain() -> None:
    """As many domains as are reached: all of the copies where domains are many, none more where there is one.

    DeepEP states 61 GB/s of what four H100 boxes are sent, their own part in it, for 8 experts of each token (its
    README, second version, EP 8 x 4 and CX7; nothing is fitted to it).
    """
    message, copies = 8192 * 8 * 7168.0, 8

    def time_s(devices: int, copies: int) -> float:
        return float(time_transfer("all_to_all", message, devices, 1, network("h100", devices), copies).time_s)

    assert time_s(8, copies) == time_s(8, 1)
    for boxes in (2, 4, 16):
        reached = boxes * (1 - (1 - 1 / boxes) ** copies)
        assert 0.9 * reached / copies < time_s(8 * boxes, copies) / time_s(8 * boxes, 1) < 1.4 * reached / copies
    fewer = [time_s(32, each) for each in (8, 4, 2, 1)]
    assert fewer == sorted(fewer)
    published = message / copies * 4 * (1 - (3 / 4) ** 8) / 61e9
    assert published < time_s(32, copies) < 1.3 * published


def test_op_collective() -> None:
    one = predict_op("collective", "8xh100", operation="all_reduce", message_bytes=10**6, devices=8)
    assert (one.form, one.flops, one.link_bytes, one.bound_by) == ("in-switch", 0, 1_750_000, "latency")
    assert one.low_s <= one.time_s <= one.high_s
    assert sent_bytes(one.form, "all_reduce", 10**6, 8) / one.bound_s == pytest.approx(450e9)  # as its answer tells
    assert one.share_latency + one.share_link == pytest.approx(1)
    engines = [predict_op("collective", "8xh100", operation="all_reduce", message_bytes=4096, engine=name)
               for name in ("torch-compile", "vllm", "tensorrt-llm")]  # fmt: skip
    assert [each.form for each in engines] == ["in-switch", "one-shot", "one-shot"]
    assert engines[0].time_s > engines[1].time_s > engines[2].time_s
    many = predict_op(
        "collective", "h100", operation=np.array(["all_reduce", "all_gather"]), message_bytes=10**6, devices=8
    )
    assert many.time_s[0] == one.time_s
    assert many.to_dict()["inputs"]["operation"] == ["all_reduce", "all_gather"]
