"""Formats and recipes: bits by hand, the dtype that computes, words that are refused."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from roofline.compression.formats import FORMATS
from roofline.compression.recipes import Checkpoint, read_recipe, recipe_of
from roofline.errors import UsageError
from roofline.options.groups import Dtypes
from roofline.program.workload import DTYPE_BYTES

BITS = {
    "fp32": 32,
    "tf32": 32,  # 19 bits are used, 32 are stored
    "bf16": 16,
    "fp16": 16,
    "int8": 8,  # a scale per row is not part of a group
    "fp8": 8,
    "fp8-tensor": 8,
    "fp8-block": 8 + Fraction(32, 128 * 128),
    "fp8-group": 8 + Fraction(32, 128),
    "int4": Fraction("4.125"),  # 4 + 16/128: symmetric, an fp16 scale for 128 weights
    "int4-zp": Fraction("4.15625"),  # 4 + (16 + 4)/128: a zero point of 4 bits too
    "int4-row": 4,
    "int3": 3 + Fraction(16, 128),
    "int2": 2 + Fraction(16, 128),
    "int2-tensor": 2,  # a scale for the whole matrix
    "mxfp8": 8 + Fraction(8, 32),
    "mxfp4": 4 + Fraction(8, 32),  # 4.25
    "nvfp4": 4 + Fraction(8, 16),  # 4.5
    "nf4": 4 + Fraction(32, 64),  # 4.5
    "fp4-64": 4 + Fraction(32, 64),
    "fp4-64-dq": 4 + Fraction(8, 64) + Fraction(32, 64 * 256),
    "nf4-dq": 4 + Fraction(8, 64) + Fraction(32, 64 * 256),  # 4.127
    **{f"q{bits}_0": bits + Fraction(16, 32) for bits in (4, 5, 8)},  # an fp16 scale for 32
    **{f"q{bits}_1": bits + Fraction(16 + 16, 32) for bits in (4, 5)},  # and a least value
    "q2_k": 2 + Fraction(4 + 4, 16) + Fraction(32, 256),  # scales of 16 elements, of which 16 share two of fp16
    "q3_k": 3 + Fraction(6, 16) + Fraction(16, 256),
    "q4_k": 4 + Fraction(6 + 6, 32) + Fraction(32, 256),
    "q5_k": 5 + Fraction(6 + 6, 32) + Fraction(32, 256),
    "q6_k": 6 + Fraction(8, 16) + Fraction(16, 256),
    "iq4_nl": 4 + Fraction(16, 32),
    "iq4_xs": 4 + Fraction(6, 32) + Fraction(16, 256),
    "iq3_s": 2 + Fraction(1, 4) + 1 + Fraction(4, 32) + Fraction(16, 256),  # a grid's place, its ninth bit, signs
    "iq3_xxs": 3 + Fraction(16, 256),
    "iq2_s": 1 + 1 + Fraction(1, 4) + Fraction(4, 16) + Fraction(16, 256),
    "iq2_xs": 2 + Fraction(4, 16) + Fraction(16, 256),
    "iq2_xxs": 2 + Fraction(16, 256),
    "iq1_m": 1 + Fraction(1, 2) + Fraction(4, 16),
    "iq1_s": 1 + Fraction(1, 2) + Fraction(16, 256),
    "tq1_0": Fraction(8 * (48 + 4 + 2), 256),  # five ternary numbers to a byte, the last 16 four to one
    "tq2_0": 2 + Fraction(16, 256),
    "gguf_mxfp4": 4 + Fraction(8, 32),
    "gguf_nvfp4": 4 + Fraction(8, 16),
}


@pytest.mark.parametrize("name", FORMATS)
def test_bits_of_every_format_by_hand(name: str) -> None:
    assert FORMATS[name].name == name
    assert FORMATS[name].bits == BITS[name]


def test_groups_of_another_size() -> None:
    assert read_recipe("w4a16+g64", default="bf16").weights.bits == 4 + Fraction(16, 64)
    assert read_recipe("w4a16+zp+g32", default="bf16").weights.bits == 4 + Fraction(20, 32)
    assert read_recipe("gptq", default="bf16").weights.bits == Fraction("4.15625")


def test_a_recipe_says_which_bits_and_why() -> None:
    for name, words in (("w4a16", "4 + 16/128 = 4.125 bits"), ("awq", "4 + (16 + 4)/128 = 4.15625 bits")):
        assert read_recipe(name, default="bf16").weights.words.endswith(words)
    assert FORMATS["fp8-block"].words == "fp8, an fp32 scale for 128 x 128: 8 + 32/(128 x 128) = 8.001953 bits"
    assert FORMATS["nvfp4"].words == "fp4, an fp8 scale for 16: 4 + 8/16 = 4.5 bits, and an fp32 for the matrix"
    assert FORMATS["int8"].words == "int8, an fp32 scale for each row"
    assert FORMATS["fp8-tensor"].words == "fp8, an fp32 scale for all"


@pytest.mark.parametrize(
    ("text", "computes", "stored"),
    [
        ("bf16", "bf16", ("bf16", "bf16", "bf16")),
        ("fp8", "fp8", ("fp8", "fp8", "bf16")),
        ("fp8-block", "fp8", ("fp8-block", "fp8-group", "bf16")),
        ("w8a8", "int8", ("int8", "int8", "bf16")),
        ("int8", "int8", ("int8", "int8", "bf16")),
        ("w8a16", "bf16", ("int8", "bf16", "bf16")),
        ("w4a16", "bf16", ("int4", "bf16", "bf16")),
        ("fp16+kv8", "fp16", ("fp16", "fp16", "fp8")),
        ("w4a8", "int8", ("int4", "int8", "bf16")),
        ("w4a4", "int4", ("int4", "int4-row", "bf16")),
        ("mxfp4", "bf16", ("mxfp4", "bf16", "bf16")),
        ("nvfp4", "fp4", ("nvfp4", "nvfp4", "bf16")),
        ("nf4", "bf16", ("nf4", "bf16", "bf16")),
        ("kv8", "bf16", ("bf16", "bf16", "fp8")),
        ("kv4", "bf16", ("bf16", "bf16", "int4")),
        ("w8a8+kv8", "int8", ("int8", "int8", "fp8")),
    ],
)
def test_what_a_recipe_stores_and_what_it_computes_in(text: str, computes: str, stored: tuple[str, ...]) -> None:
    recipe = read_recipe(text, default="bf16")
    assert recipe.compute_dtype == computes
    assert (recipe.weights.name, recipe.activations.name, recipe.kv_cache.name) == stored
    assert recipe.name == text if "+" in text or text not in ("kv8", "kv4") else f"bf16+{text}"
    assert set(recipe.computed) <= set(DTYPE_BYTES)


def test_formats_override_a_recipe_one_by_one() -> None:
    recipe = recipe_of({"dtype": "w4a16", "activation_dtype": "fp8", "kv_dtype": "int8"}, default="fp16")
    assert (recipe.weights.name, recipe.activations.name, recipe.kv_cache.name) == ("int4", "fp8", "int8")
    assert (recipe.base, recipe.compute_dtype) == ("fp16", "fp8")
    plain = recipe_of({"dtype": "bf16", "weight_dtype": "fp32"}, default="bf16")
    assert (plain.precision.weights, plain.precision.activations, plain.compute_dtype) == ("fp32", "bf16", "fp32")


def test_a_checkpoints_recipe_holds_where_none_is_named() -> None:
    assert read_recipe(None, default="bf16", checkpoint=Checkpoint("mxfp4+experts")).experts_only
    assert read_recipe("kv8", default="bf16", checkpoint=Checkpoint("mxfp4+experts")).name == "mxfp4+experts+kv8"
    assert read_recipe("bf16", default="fp16", checkpoint=Checkpoint("mxfp4+experts")).weights.name == "bf16"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"dtype": "int4"}, "expected w4a16 (weights alone) or w4a4"),
        ({"dtype": "fp4"}, "expected mxfp4 or nvfp4"),
        ({"dtype": "w4a61"}, "did you mean w4a16"),
        ({"dtype": "w4a16+"}, "is not known"),
        ({"dtype": "bf16+g64"}, "g64 changes how weights are quantised, and bf16 has it fixed"),
        ({"dtype": "nvfp4+zp"}, "zp changes how weights are quantised, and nvfp4 has it fixed"),
        ({"dtype": "w4a16+g0"}, "is not known"),
        ({"weight_dtype": "int5"}, "weight_dtype"),
        ({"activation_dtype": "fp4"}, "activation_dtype"),
        ({"kv_dtype": "fp4"}, "kv_dtype"),
        (
            {"activation_dtype": "fp8"},
            "activations in fp8 are multiplied by weights as narrow; give weight_dtype fp8 too",
        ),
        ({"weight_dtype": "int8", "activation_dtype": "fp8"}, "int8 weights and fp8 activations: no matrix unit"),
        ({"weight_dtype": "int8", "activation_dtype": "int4"}, "activations in int4 are narrower than weights in int8"),
    ],
)
def test_what_is_refused(asked: Dtypes, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as failure:
        recipe_of(asked, default="bf16")
    assert "\n" not in str(failure.value)
