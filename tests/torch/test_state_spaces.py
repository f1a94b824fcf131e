"""States and scans: parameters and FLOPs against transformers, both forms of a scan against each other, memory.

What transformers runs without the fused kernels of mamba-ssm, causal-conv1d and flash-linear-attention is another way
to the same numbers, so that the counter sees other FLOPs than these kernels spend. ``scan_counts`` has each
difference, and why.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from modules import cache_of, check_parameters, eager_decoder
from scan_counts import expected, kind_of, mixes_tokens
from state_strategies import STATES, without_some

from roofline.calibration.calibration_file import KindConstants
from roofline.calibration.constants import ConstantSet
from roofline.cost.kv_cache import cache_growth
from roofline.cost.memory_fit import largest_batch, longest_context
from roofline.cost.residency import footprint
from roofline.errors import ConfigError
from roofline.formulas.building import formula
from roofline.formulas.symbols import LETTERS
from roofline.layers.mamba2 import chunked_scan, recurrent_scan
from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharding import shard
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import MAX_LENGTH, Precision, Workload

BF16 = Precision("bf16", "bf16", "bf16")
TINY = st.integers(2, 4)  # torch.einsum multiplies elementwise where a contracted axis has one element


# Parameters


@pytest.mark.parametrize("model_type", STATES)
def test_random_configurations_equal_transformers(model_type):
    pytest.importorskip("transformers")

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(config=STATES[model_type] | without_some(STATES[model_type]))
    def equal(config):
        check_parameters(load_model(config))

    equal()


# FLOPs


def counted(module: Any, batch: int, past: int, new: int) -> tuple[int, int]:
    """What the counter sees in a forward pass of ``new`` tokens behind ``past`` ones: matmuls, convolutions."""
    torch = pytest.importorskip("torch")
    counter_of = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    name = "cache_params" if "Mamba" in type(module).__name__ else "past_key_values"
    own = cache_of(module)
    with torch.no_grad():
        if past:
            module(torch.zeros(batch, past, dtype=torch.long), use_cache=True, **{name: own})
        with counter_of(display=False) as counter:
            module(torch.zeros(batch, new, dtype=torch.long), use_cache=True, **{name: own})
    counts = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    convolved = sum(count for op, count in counts.items() if "conv" in op)
    return sum(counts.values()) - convolved, convolved


@pytest.mark.parametrize("model_type", STATES)
def test_random_networks_equal_the_counter(model_type):
    pytest.importorskip("transformers")

    @settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
    @given(config=STATES[model_type], batch=st.integers(1, 3), past=st.integers(1, 9), new=st.integers(1, 9))
    def equal(config, batch, past, new):
        model = load_model(config)
        assume(mixes_tokens(model))
        module = eager_decoder(model)
        for before, tokens in ((0, new), (past, 1)):
            found = counted(module, batch, before, tokens)
            assert found == expected(model, kind_of(model), batch, before, tokens)

    equal()


# Both forms of a scan


@settings(deadline=None, max_examples=8)
@given(st.fixed_dictionaries(dict.fromkeys("BKGHNW", TINY)), TINY)
def test_the_chunks_of_mamba2_give_the_numbers_of_its_steps_and_our_counts(sizes, chunks):
    torch = pytest.importorskip("torch")
    counter_of = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode
    B, K, G, H, N, W = (sizes[letter] for letter in "BKGHNW")
    T = chunks * W
    torch.manual_seed(0)
    x, b, c = torch.randn(B, T, K, G, H), torch.randn(B, T, K, N), torch.randn(B, T, K, N)
    decay = -torch.rand(B, T, K, G)  # the logarithm of what a step keeps

    state, stepped = torch.zeros(B, K, G, H, N), []
    for t in range(T):
        state = state * decay[:, t, ..., None, None].exp() + torch.einsum("bkgh,bkn->bkghn", x[:, t], b[:, t])
        stepped.append(torch.einsum("bkn,bkghn->bkgh", c[:, t], state))

    def within(tensor: Any) -> Any:
        return tensor.reshape(B, chunks, W, *tensor.shape[2:])

    sums = within(decay).cumsum(2)
    mask = torch.ones(W, W).tril()[..., None, None]
    weights = (sums[:, :, :, None] - sums[:, :, None]).exp() * mask
    carried, outputs = torch.zeros(B, K, G, H, N), []
    with counter_of(display=False) as counter:
        scores = torch.einsum("bcikn,bcjkn->bcijk", within(c), within(b))
        near = torch.einsum("bcijkg,bcjkgh->bcikgh", scores[..., None] * weights, within(x))
        scaled = within(x) * (sums[:, :, -1:] - sums).exp()[..., None]
        states = torch.einsum("bcikn,bcikgh->bckghn", within(b), scaled)
        for i in range(chunks):
            far = torch.einsum("bikn,bkghn->bikgh", within(c)[:, i], carried)
            outputs.append(near[:, i] + far * sums[:, i].exp()[..., None])
            carried = carried * sums[:, i, -1].exp()[..., None, None] + states[:, i]
    assert torch.allclose(torch.stack(stepped, 1), torch.cat(outputs, 1), atol=1e-4)
    assert torch.allclose(state, carried, atol=1e-4)
    exact = {letter: Fraction(size) for letter, size in {**sizes, "T": T}.items()}
    assert chunked_scan(square=True).flops(exact) == counter.get_total_flops()
    assert chunked_scan().flops(exact) == by_enumeration(exact)
    assert recurrent_scan().flops({**exact, "T": Fraction(1)}) == 0


def by_enumeration(sizes: dict[str, Fraction]) -> Fraction:
    """Pairs of tokens in one chunk, the later one first, and two products with the state."""
    B, T, K, G, H, N, W = (sizes[letter] for letter in "BTKGHNW")
    pairs = sum(1 for i in range(int(T)) for j in range(i + 1) if i // int(W) == j // int(W))
    return 2 * B * (pairs * (K * N + K * G * H) + 2 * T * K * G * H * N)


def test_the_count_of_the_paper():
    """Theorem 6.1 of arXiv 2405.21060: O(T N^2) for a head of N in chunks of N; ours is 6 N^2 + 2 N per token."""
    for n in (16, 64, 128):
        sizes = dict.fromkeys("BKG", Fraction(1)) | dict.fromkeys("HNW", Fraction(n)) | {"T": Fraction(8 * n)}
        assert chunked_scan().flops(sizes) == 8 * n * (6 * n * n + 2 * n)


def test_a_prompt_costs_no_more_per_token_if_it_is_longer():
    """Doubling a prompt of whole chunks doubles the scan exactly; attention's doubling costs four times as much."""
    for model in ("mamba2-2.7b", "mamba-2.8b"):
        short, long = (predict(model, "h100", prompt=tokens).phases["prefill"].operators for tokens in (4096, 8192))
        (one,), (two,) = ([op.figures for op in ops if op.name == "scan"] for ops in (short, long))
        assert (two.flops, two.vector_flops) == (2 * one.flops, 2 * one.vector_flops)


# Memory


def test_the_state_is_what_transformers_keeps():
    """Elements in the caches of the module after a forward pass; of a convolution's inputs it keeps one more."""
    torch = pytest.importorskip("torch")
    for preset, layers in (("mamba2-130m", 2), ("mamba-130m", 3), ("falcon-mamba-7b", 1)):
        model = load_model(preset, overrides={"num_hidden_layers": layers, "vocab_size": 16})
        with torch.device("meta"), torch.no_grad():
            kept = eager_decoder(model)(torch.zeros(3, 5, dtype=torch.long), use_cache=True).cache_params
        elements = sum(
            state.numel() - (state[..., 0].numel() if states is layer.conv_states else 0)
            for layer in kept.layers
            for states in (layer.conv_states, layer.recurrent_states)
            for state in states.values()
        )  # fmt: skip
        program = model.program()
        assert footprint(program, Workload(3, 100, 10), program.phases, BF16).state_bytes == 2 * elements


@pytest.mark.parametrize("preset", [name for name in preset_names() if "mamba" in name and "bamba" not in name])
def test_a_state_does_not_grow(preset):
    program = load_model(preset).program()
    held = [footprint(program, Workload(2, prompt, 5), program.phases, BF16) for prompt in (10, 10_000)]
    assert held[0].state_bytes == held[1].state_bytes > 0
    assert held[0].kv_cache_bytes == held[1].kv_cache_bytes == 0
    assert cache_growth(program, BF16, 1) == cache_growth(program, BF16, 10**6) == 0


def test_a_decode_step_reads_and_writes_the_state_whatever_the_context():
    steps = [predict("mamba2-2.7b", "h100", context=length, batch=4) for length in (1, 10, MAX_LENGTH)]
    assert len({step.tpot_s for step in steps}) == 1
    (scan,) = [op for op in steps[0].phases["decode"].operators if op.name == "scan"]
    state = 4 * 80 * 64 * 128  # sequences; heads; their width; the state of each element
    beside = 4 * (2 * 80 * 64 + 80 + 2 * 128) + 3 * 80  # x, y, time step, b and c; decay, its bias, skip
    assert scan.figures.bytes == 64 * 2 * (2 * state + beside)  # layers; bytes; read and written


def test_largest_batch_and_longest_context_are_where_memory_ends():
    program, workload = load_model("mamba2-2.7b").program(), Workload(8, 512, 16)
    room = footprint(program, Workload(100, 512, 16), program.phases, BF16).total_bytes
    assert largest_batch(program, workload, program.phases, BF16, room) == 100
    assert largest_batch(program, workload, program.phases, BF16, room - 1) == 99
    room = footprint(program, Workload(8, 5000, 16), program.phases, BF16).total_bytes
    assert longest_context(program, workload, program.phases, BF16, room, MAX_LENGTH) == 5015
    assert longest_context(program, workload, program.phases, BF16, room - 1, MAX_LENGTH) == 5014
    once = (Phase.DECODE,)
    assert longest_context(program, Workload(8, 1, 1, 64), once, BF16, room, MAX_LENGTH) == MAX_LENGTH


def test_a_hybrid_has_both_a_cache_that_grows_and_a_state_that_does_not():
    """Jamba (arXiv 2403.19887), table 1: 4 GB of KV cache for 256K tokens in 16 bits, from 4 of 32 layers."""
    program = load_model("jamba-v0.1").program()
    assert cache_growth(program, BF16, 1) == 4 * 2 * 2 * 8 * 128  # layers; bytes; keys and values; heads; their width
    short, long = (footprint(program, Workload(1, prompt, 1), program.phases, BF16) for prompt in (1, 262_144))
    assert long.kv_cache_bytes == 2**32
    assert long.state_bytes == short.state_bytes == 28 * 2 * 8192 * (16 + 3)


@pytest.mark.parametrize(
    ("preset", "growth", "state"),
    [
        # bytes per token: layers that attend x 2 bytes x keys and values x heads x width; state: layers that scan
        ("qwen3-next-80b-a3b", 12 * 2 * 2 * 2 * 256, 36 * 2 * (32 * 128 * 128 + 3 * (2 * 16 * 128 + 32 * 128))),
        ("nemotron-h-8b", 4 * 2 * 2 * 8 * 128, 24 * 2 * (128 * 64 * 128 + 3 * (128 * 64 + 2 * 8 * 128))),
        ("falcon-h1-7b", 44 * 2 * 2 * 2 * 128, 44 * 2 * (24 * 128 * 256 + 3 * (24 * 128 + 2 * 256))),
        ("lfm2-1.2b", 6 * 2 * 2 * 8 * 64, 10 * 2 * 2 * 2048),
        ("lfm3-1.7b", 11 * 2 * 2 * 4 * 128, 13 * 2 * 6 * 2048),
        ("olmo-hybrid-7b", 8 * 2 * 2 * 30 * 128, 24 * 2 * (30 * 96 * 192 + 3 * 30 * (2 * 96 + 192))),
        ("recurrentgemma-2b", 8 * 2 * 2 * 1 * 256, 18 * 2 * (2560 + 3 * 2560)),
    ],
)
def test_caches_and_states_by_hand(preset, growth, state):
    program = load_model(preset).program()
    assert cache_growth(program, BF16, 1) == growth
    assert footprint(program, Workload(1, 9, 1), program.phases, BF16).state_bytes == state


def test_tensor_parallelism_splits_the_heads_of_a_mixer_beside_attention():
    """Falcon-H1 has 2 key/value heads and 1 group of its mixer: over four devices both share, and their heads split."""
    program = load_model("falcon-h1-7b").program()
    sharded = shard(program, Layout(tp=4))
    (scan,) = [(group, op) for group, op in sharded.in_phase(Phase.DECODE) if op.name == "scan"]
    (state,) = [tensor for tensor in scan[1].writes if tensor.role == "state"]
    assert sharded.resident(*scan, state, {**sharded.sizes, "B": 1}) == 44 * 24 * 128 * 256 / 4


# What follows


@pytest.mark.parametrize(
    ("model", "untimed"),
    [
        ("mamba2-130m", "decode"),
        ("mamba-130m", "prefill and decode"),
        ("recurrentgemma-2b", "prefill and decode"),
        ("qwen3-next-80b-a3b", ""),
    ],
)
def test_a_prediction_says_once_which_scans_were_not_timed(model, untimed):
    said = [note for note in predict(model, "h100").notes if "scan" in note]
    told = f"scans of {untimed} were never timed on such a device: they take other constants of h100-sxm-80gb"
    assert said == ([told] if untimed else [])
    assert not any("scan" in note for note in predict(model, "h100", constants="datasheet").notes)  # no constants


def test_what_has_no_scan_says_nothing_of_scans_nor_do_constants_that_have_their_own():
    assert not any("scan" in note for note in predict("llama-3.2-1b", "h100").notes)
    run = predict("mamba2-130m", "h100")
    assert run.constants.calibration is not None
    own = run.constants.calibration.model_copy(update={"kinds": {"scan": KindConstants()}})
    assert not any("scan" in note for note in replace(run, constants=ConstantSet.from_calibration(own)).notes)


def test_the_formula_of_the_state():
    cache = formula("mamba2-2.7b", quantity="kv_cache", keep="all").expression
    assert str(cache.factor()) == "2*B*K*L*(G*H*N + G*H*c + 2*N*c)"
    step = formula("recurrent_scan", quantity="bytes").expression
    assert str(step.expand().coeff(LETTERS["N"] * LETTERS["H"])) == "4*B*G*K"  # read and written, two bytes each


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"num_heads": 23}, "num_heads 23 x head_dim 64 is not expand x hidden_size 1536"),
        ({"n_groups": 7}, "recurrence: 7 groups do not divide 24 heads"),
        ({"state_size": 0}, "state_size: given 0, expected at least 1"),
        ({"chunk_size": "long"}, 'chunk_size: given "long", expected a whole number'),
        ({"hidden_act": "gelu"}, 'hidden_act "gelu" is not modelled; expected "silu"'),
        ({"expand": -1}, "expand: given -1, expected a whole number from 0 on"),
        ({"use_bias": "yes"}, "use_bias: given"),
    ],
)
def test_refusals(fields, text):
    refused("mamba2-130m", fields, text)


@pytest.mark.parametrize(
    ("preset", "fields", "text"),
    [
        ("nemotron-h-8b", {"hybrid_override_pattern": "M-X"}, 'hybrid_override_pattern: given "M-X", expected a word'),
        ("nemotron-h-8b", {"num_hidden_layers": 3}, "num_hidden_layers: given 3, expected 52"),
        ("granite-4.0-h-tiny", {"layer_types": ["mamba", "odd"]}, 'layer_types.1: given "odd"'),
        ("granite-4.0-h-tiny", {"layer_types": 3}, "layer_types: given 3, expected a list of kinds of layers"),
        (
            "granite-4.0-h-tiny",
            {"mamba_d_head": 63},
            "mamba_n_heads 48 x mamba_d_head 63 is not the width of the mixer",
        ),
        (
            "bamba-9b",
            {"attn_layer_indices": "all"},
            'attn_layer_indices: given "all", expected a list of layer numbers',
        ),
        ("qwen3-next-80b-a3b", {"linear_num_key_heads": 5}, "recurrence: 5 groups do not divide 32 heads"),
        ("recurrentgemma-2b", {"block_types": ["odd"]}, "block_types: given a list, expected a list of recurrent"),
        ("lfm2-1.2b", {"block_ffn_dim_multiplier": "wide"}, 'block_ffn_dim_multiplier: given "wide"'),
    ],
)
def test_refusals_of_hybrids(preset, fields, text):
    refused(preset, fields, text)


def refused(preset: str, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(preset, overrides=fields)
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_field_by_path_is_no_field_of_a_file():
    model = load_model({**load_model("mamba2-130m").fields, "recurrence.heads": 3, "recurrence": {"heads": 3}})
    assert model.program() == load_model("mamba2-130m").program()
    assert [warning.split()[3] for warning in model.warnings] == ["recurrence", "recurrence.heads"]
