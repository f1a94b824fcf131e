"""Images: parameters and FLOPs of ViT and CLIP against transformers; what follows for lengths, memory and refusals."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modules import counted, module_of, our_flops, parameters_of
from strategies import clip_configs, vit_configs

from roofline.charts.registry import Request, draw_kind
from roofline.cost.memory_fit import largest_batch
from roofline.cost.residency import footprint
from roofline.errors import ConfigError, UsageError, WorkloadError
from roofline.models.model import load_model
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import Precision, Workload

BF16 = Precision("bf16", "bf16", "bf16")
ANY = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


@ANY
@given(vit_configs(), st.integers(1, 3))
def test_random_vits_equal_transformers(config, batch):
    torch, model = pytest.importorskip("torch"), load_model(config)
    module = module_of(model, device="cpu")
    assert model.warnings == ()
    assert model.parameters == parameters_of(module)
    tokens, side = model.lengths.positions, config["image_size"]
    seen = counted(module, pixel_values=torch.zeros(batch, config["num_channels"], side, side))
    assert our_flops(model, Phase.ENCODE, B=batch, T=tokens, S=tokens) == seen


@ANY
@given(clip_configs(), st.integers(1, 3), st.data())
def test_random_clips_equal_transformers(config, batch, data):
    torch, model = pytest.importorskip("torch"), load_model(config)
    module = module_of(model, device="cpu")
    assert model.warnings == ()
    assert model.parameters == parameters_of(module)
    tokens = model.lengths.positions if model.lengths.whole else data.draw(st.integers(1, model.lengths.positions))
    keywords = {}
    if model.model_type != "clip_vision_model":
        keywords["input_ids"] = torch.full((batch, tokens), 2)
    if model.model_type != "clip_text_model":
        side = {**config, **config.get("vision_config", {})}["image_size"]
        keywords["pixel_values"] = torch.zeros(batch, 3, side, side)
    assert our_flops(model, Phase.ENCODE, B=batch, T=tokens, S=tokens) == counted(module, **keywords)


def test_a_tower_of_images_has_sizes_of_its_own():
    program = load_model("clip-vit-large-patch14").program()
    groups = {group.name: group for group in program.groups}
    bound = {"B": 1, "T": 7, "S": 7, **program.sizes}
    assert groups["image_layers"].sizes(bound) | {"D": 1024, "K": 16, "T": 257, "S": 257} == groups[
        "image_layers"
    ].sizes(bound)
    assert groups["text_layers"].sizes(bound)["D"] == 768
    assert [groups[name].times(bound) for name in ("image_layers", "text_layers")] == [24, 12]


def test_images_are_read_whole():
    assert predict("vit-base-patch16-224", "h100").workload.prompt == 197
    assert predict("vit-base-patch16-224", "h100", set={"model.image_size": 384}).workload.prompt == 577
    with pytest.raises(WorkloadError, match="reads whole images, 197 tokens each"):
        predict("vit-base-patch16-224", "h100", prompt=100)
    with pytest.raises(UsageError, match="reads whole images"):
        draw_kind("regime", Request(("vit-base-patch16-224",), ("h100",), {}))
    with pytest.raises(UsageError, match="reads whole images"):
        draw_kind("memory", Request(("vit-base-patch16-224",), ("h100",), {}, over="context"))


def test_the_largest_batch_knows_that_all_pairs_are_compared():
    """A CLIP so small that the B x B scores are what fills the memory."""
    tiny = {"hidden_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 1}
    text = {**tiny, "vocab_size": 3, "max_position_embeddings": 1}
    model = load_model(
        {"model_type": "clip", "projection_dim": 1, "text_config": text,
         "vision_config": {**tiny, "image_size": 1, "patch_size": 1, "num_channels": 1}}
    )  # fmt: skip
    program, phases = model.program(), model.phases
    for room in (10**4, 10**6, 10**9):
        most = largest_batch(program, Workload(1, 1, 1), phases, BF16, room)
        total = [footprint(program, Workload(most + more, 1, 1), phases, BF16).total_bytes for more in (0, 1)]
        assert total[0] <= room < total[1]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"image_size": 8}, "image_size 8: expected at least patch_size 16"),
        ({"patch_size": 0}, "expected at least patch_size 0, at least 1"),
        ({"pooler_output_size": 3}, "pooler_output_size 3 is not modelled"),
    ],
)
def test_refusals(fields, text):
    with pytest.raises(ConfigError, match=text):
        load_model("vit-base-patch16-224", overrides=fields)


def test_nested_fields_are_named_by_their_paths():
    fields = load_model("clip-vit-base-patch32").fields
    with pytest.raises(ConfigError, match=r"vision_config\.hidden_size: given \"x\", expected a whole number"):
        load_model({**fields, "vision_config": {"hidden_size": "x"}})
    with pytest.raises(ConfigError, match="vision_config: given 3, expected a mapping"):
        load_model({**fields, "vision_config": 3})
    with pytest.raises(ConfigError, match="does not divide hidden_size 768"):
        load_model(fields, overrides={"vision_config.num_attention_heads": 7})
    odd = load_model({**fields, "text_config": {**fields["text_config"], "strange": 1, "torch_dtype": "float32"}})
    assert odd.warnings == ("a mapping: field text_config.strange is not modelled and was ignored",)
    deeper = load_model(fields, overrides={"vision_config.num_hidden_layers": 24})
    assert deeper.parameters > 1.5 * load_model(fields).parameters
