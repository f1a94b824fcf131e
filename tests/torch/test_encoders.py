"""Encoders: parameters and FLOPs of every family against transformers, local attention, layers that share weights."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from grids import counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import counted, module_of, our_flops, parameters_of
from strategies import ENCODERS, encoder_configs

from roofline.cost.cost import step_cost
from roofline.errors import ConfigError
from roofline.layers.attention import local_pairs
from roofline.models.model import load_model
from roofline.program.phases import Phase
from roofline.program.workload import Precision, Workload

BF16 = Precision("bf16", "bf16", "bf16")


@pytest.mark.parametrize("count", counts(5, 40))
@pytest.mark.parametrize("model_type", ENCODERS)
def test_random_encoders_equal_transformers(model_type, count):
    torch = pytest.importorskip("torch")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(config=encoder_configs(model_type), batch=st.integers(1, 3), length=st.integers(1, 40))
    def equal(config, batch, length):
        model = load_model(config)
        assert model.warnings == ()
        module = module_of(model, device="cpu")
        assert model.parameters == parameters_of(module)
        seen = counted(module, torch.zeros(batch, length, dtype=torch.long))
        assert our_flops(model, Phase.ENCODE, B=batch, T=length, S=length) == seen

    equal()


@given(st.integers(1, 40), st.integers(0, 20))
def test_local_pairs_by_enumeration(tokens, half):
    near = sum(abs(query - key) <= half for query, key in itertools.product(range(tokens), repeat=2))
    assert local_pairs({"T": Fraction(tokens), "W": Fraction(2 * half)}) == near


def test_shared_layers_are_read_every_time_and_kept_once():
    albert, bert = load_model("albert-base-v2").program(), load_model("bert-base").program()
    assert albert.parameters() < bert.parameters() / 9
    (layers,) = [group for group in albert.groups if group.name == "layers"]
    assert layers.shared
    assert layers.times(albert.sizes) == 12
    albert_step, bert_step = (
        step_cost(program, Phase.ENCODE, Workload(1, 128, 1).sizes(Phase.ENCODE), BF16) for program in (albert, bert)
    )
    for name in ("q_proj", "up", "down"):  # the same layers, the same work and the same traffic
        (ours,), (theirs,) = ([cost for cost in step if cost.name == name] for step in (albert_step, bert_step))
        assert (ours.bytes, ours.flops, ours.count) == (theirs.bytes, theirs.flops, theirs.count)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9))
def test_layers_that_share_sets_of_weights(layers, sets):
    """Each layer takes the set that transformers.AlbertTransformer would: int(i / (layers / sets))."""
    fields = {**load_model("albert-base-v2").fields, "num_hidden_layers": layers, "num_hidden_groups": sets}
    if sets > layers:
        with pytest.raises(ConfigError, match="num_hidden_groups: given"):
            load_model(fields)
        return
    program = load_model(fields).program()
    stacks = [group for group in program.groups if group.name.endswith("layers")]
    assert [group.times(program.sizes) for group in stacks] == [
        sum(place * sets // layers == chosen for place in range(layers)) for chosen in range(sets)
    ]
    one = load_model("albert-base-v2").program()
    (layer,) = [group for group in one.groups if group.name == "layers"]
    weights = sum(one.resident(*stated, one.sizes) for stated in one.weights() if stated[0] is layer)
    assert program.parameters() - one.parameters() == (sets - 1) * weights


def test_deberta_projects_its_distances_once_for_all_sequences_by_the_matrices_of_the_tokens():
    model = load_model("deberta-v3-base")
    assert model.parameters == 128_100 * 768 + 512 * 768 + 2 * 2 * 768 + 12 * 7_087_872  # tables, norms, BERT's layers
    program = model.program()
    one, eight = (
        {
            cost.name: cost
            for cost in step_cost(program, Phase.ENCODE, Workload(batch, 512, 1).sizes(Phase.ENCODE), BF16)
        }
        for batch in (1, 8)
    )
    assert one["q_proj.positions"].flops == eight["q_proj.positions"].flops == 2 * 512 * 768 * 768
    assert eight["q_proj"].flops == 8 * one["q_proj"].flops
    for name in ("content_to_position", "position_to_content"):
        assert eight[name].flops == 8 * one[name].flops == 8 * 2 * 512 * 512 * 768


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("relative_attention", False),
        ("position_biased_input", None),  # absent: transformers adds positions to the tokens
        ("share_att_key", False),
        ("norm_rel_ebd", "none"),
        ("pos_att_type", "c2p"),
        ("pos_att_type", ["p2c"]),
        ("conv_kernel_size", 3),  # the V2 models
        ("legacy", False),
        ("pooler_hidden_size", 64),
    ],
)
def test_a_deberta_that_attends_otherwise_is_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        load_model("deberta-v3-base", overrides={field: value})


def test_modernbert_attends_in_a_window_but_for_every_third_layer():
    program = load_model("modernbert-base").program()
    times = {group.name: group.times(program.sizes) for group in program.groups if "layers" in group.name}
    assert times == {"first_full_layers": 1, "local_layers": 14, "full_layers": 7}
    sizes = {letter: Fraction(size) for letter, size in {**program.sizes, "B": 1, "T": 8192, "S": 8192}.items()}
    flops = {
        group.name: op.flops(group.sizes(sizes))
        for group, op in program.in_phase(Phase.ENCODE)
        if op.kind == "attention"
    }
    assert flops["full_layers"] == 4 * 768 * 8192 * 8192
    assert flops["local_layers"] == 4 * 768 * (8192 * 129 - 64 * 65)  # 64 on either side, fewer at both ends


def test_colbert_embeds_every_token_in_128_elements():
    """ColBERT (arXiv 2004.12832), section 3.2: BERT and a matrix without a bias, on every token."""
    fields = {**load_model("bert-base").fields, "architectures": ["BertForTokenClassification"]}
    bare = load_model({**fields, "id2label": {"0": "x"}})
    colbert = load_model({**fields, "architectures": ["HF_ColBERT"]})
    assert colbert.parameters == bare.parameters - (768 + 1) + 768 * 128
    sizes = {"B": 3, "T": 50, "S": 50}
    assert our_flops(colbert, Phase.ENCODE, **sizes) - our_flops(bare, Phase.ENCODE, **sizes) == 2 * 150 * 768 * 127
