"""Two small networks tensor by tensor, and published forms of ``quantization_config`` with what each stores of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

DENSE: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 512, "intermediate_size": 1280, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1000, "max_position_embeddings": 2048,
}  # fmt: skip
ROUTED: dict[str, Any] = {
    "model_type": "deepseek_v3", "hidden_size": 512, "intermediate_size": 1280, "moe_intermediate_size": 256,
    "num_hidden_layers": 3, "first_k_dense_replace": 1, "num_attention_heads": 4, "n_routed_experts": 8,
    "num_experts_per_tok": 2, "n_shared_experts": 1, "q_lora_rank": 256, "kv_lora_rank": 128, "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 32, "v_head_dim": 64, "vocab_size": 1000, "max_position_embeddings": 2048,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A matrix of a checkpoint, ``copies`` times; ``linear`` is whether recipes may quantise it."""

    name: str
    depth: int
    out: int
    linear: bool = True
    copies: int = 1


def _mlp(name: str, width: int, copies: int = 1) -> list[Tensor]:
    up = [Tensor(f"{name}.{part}_proj", 512, width, copies=copies) for part in ("gate", "up")]
    return [*up, Tensor(f"{name}.down_proj", width, 512, copies=copies)]


def dense_tensors() -> list[Tensor]:
    """All of DENSE: embedding and head, four layers, norms."""
    found = [Tensor("embed", 512, 1000, False), Tensor("lm_head", 512, 1000, False), Tensor("norm", 512, 1, False)]
    for layer in range(4):
        at = f"model.layers.{layer}"
        widths = {"q": 512, "k": 128, "v": 128, "o": 512}
        found += [Tensor(f"{at}.self_attn.{part}_proj", 512, width) for part, width in widths.items()]
        found += _mlp(f"{at}.mlp", 1280)
        found.append(Tensor(f"{at}.norms", 512, 2, False))
    return found


def routed_tensors() -> list[Tensor]:
    """All of ROUTED: a dense layer, two with eight experts and a shared one; latents for queries, keys and values."""
    found = [Tensor("embed", 512, 1000, False), Tensor("lm_head", 512, 1000, False), Tensor("norm", 512, 1, False)]
    for layer in range(3):
        at = f"model.layers.{layer}"
        found += [
            Tensor(f"{at}.self_attn.q_a_proj", 512, 256),
            Tensor(f"{at}.self_attn.q_b_proj", 256, 4 * (64 + 32)),
            Tensor(f"{at}.self_attn.kv_a_proj_with_mqa", 512, 128 + 32),
            Tensor(f"{at}.self_attn.kv_b_proj", 128, 4 * (64 + 64), False),
            Tensor(f"{at}.self_attn.o_proj", 4 * 64, 512),
            Tensor(f"{at}.norms", 512 * 2 + 256 + 128, 1, False),
        ]
        if layer == 0:
            found += _mlp(f"{at}.mlp", 1280)
        else:
            found += _mlp(f"{at}.mlp.experts.0", 256, copies=8)
            found += _mlp(f"{at}.mlp.shared_experts", 256)
            found.append(Tensor(f"{at}.mlp.gate", 512, 8, False))
    return found


Size = Callable[[Tensor], Fraction]


def wide(tensor: Tensor) -> Fraction:
    """16 bits an element."""
    return Fraction(2 * tensor.depth * tensor.out)


def stored(bits: int, scale: float = 2, *, group: int = 0, rows: int = 1, zero: float = 0, whole: int = 0) -> Size:
    """``bits`` an element; ``scale`` and ``zero`` bytes for each ``group`` x ``rows``, 0 for all of a side."""

    def size(tensor: Tensor) -> Fraction:
        along = math.ceil(tensor.depth / group) if group else 1
        across = math.ceil(tensor.out / rows) if rows else 1
        each = Fraction(scale) + Fraction(zero)
        return Fraction(bits * tensor.depth * tensor.out, 8) + along * across * each + whole

    return size


INT4 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True}
FP8 = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
TOKEN = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
FP4 = {"num_bits": 4, "type": "float", "group_size": 16, "strategy": "tensor_group"}


def compressed(weights: Any, activations: Any = None, **more: Any) -> dict[str, Any]:
    """A file of compressed-tensors with one group."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"], **more}


def gptq(bits: int, group: int, **more: Any) -> dict[str, Any]:
    return {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": False, "sym": True, **more}


def modelopt(algorithm: str, **more: Any) -> dict[str, Any]:
    return {"quant_method": "modelopt", "quant_algo": algorithm, "ignore": ["lm_head"], **more}


def torchao(kind: str, **options: Any) -> dict[str, Any]:
    return {"quant_method": "torchao", "quant_type": {"default": {"_type": kind, "_data": options}}}


def quark(weight: dict[str, Any], inputs: Any = None, **more: Any) -> dict[str, Any]:
    whole = {"weight": weight, "input_tensors": inputs}
    return {"quant_method": "quark", "global_quant_config": whole, "exclude": ["lm_head"], **more}


W4, W4_64, FP8_ROW, FP8_ALL = stored(4, group=128), stored(4, group=64), stored(8, 4), stored(8, 4, rows=0)
INT8_ROW, BLOCKS = stored(8, 4), stored(8, 4, group=128, rows=128)
W4_ZERO, NVFP4, MXFP4 = stored(4, group=128, zero=0.5), stored(4, 1, group=16, whole=4), stored(4, 1, group=32)
W4_WIDE_ZERO = stored(4, group=128, zero=2)

FORMS: dict[str, tuple[dict[str, Any], str, Size]] = {  # name -> options, recipe, bytes of a matrix that is quantised
    "gptq-2": (gptq(2, 128), "w2a16+zp", stored(2, group=128, zero=0.25)),
    "gptq-3": (gptq(3, 128), "w3a16+zp", stored(3, group=128, zero=0.375)),
    "gptq-4": (gptq(4, 128), "w4a16+zp", W4_ZERO),
    "gptq-4-g32": (gptq(4, 32), "w4a16+g32+zp", stored(4, group=32, zero=0.5)),
    "gptq-4-channel": (gptq(4, -1), "w4a16+channel+zp", stored(4, zero=0.5)),
    "gptq-8": (gptq(8, 128), "w8a16+g128+zp", stored(8, group=128, zero=1)),
    "gptq-8-channel": (gptq(8, -1), "w8a16+zp", stored(8, 4, zero=1)),
    "gptq-marlin": ({**gptq(4, 64), "quant_method": "gptq_marlin"}, "w4a16+g64+zp", stored(4, group=64, zero=0.5)),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "w4a16+zp", W4_ZERO),
    "awq-bare": ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "zero_point": False}, "w4a16+g64", W4_64),
    "auto-round": ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True}, "w4a16+zp", W4_ZERO),
    "auto-round-2": ({"quant_method": "intel/auto-round", "bits": 2, "group_size": 32}, "w2a16+g32+zp",
                     stored(2, group=32, zero=0.25)),
    "auto-round-mx": ({"quant_method": "auto-round", "bits": 4, "group_size": 32, "data_type": "mx_fp",
                       "act_bits": 4}, "mxfp4a4", MXFP4),
    "fp8-block": ({"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"},
                  "fp8-block", BLOCKS),
    "fp8-static": ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8-tensor", FP8_ALL),
    "fp8-scales-of-a-byte": ({"quant_method": "fp8", "weight_block_size": [128, 128], "scale_fmt": "ue8m0"},
                             "fp8-block", stored(8, 1, group=128, rows=128)),
    "fp8-by-32": ({"quant_method": "fp8", "weight_block_size": [1, 32], "scale_fmt": "ue8m0"}, "mxfp8",
                  stored(8, 1, group=32)),
    "fp-quant": ({"quant_method": "fp_quant", "forward_dtype": "nvfp4"}, "nvfp4", NVFP4),
    "fp-quant-mx": ({"quant_method": "fp_quant", "forward_dtype": "mxfp4"}, "mxfp4a4", MXFP4),
    "fbgemm": ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "fp8", FP8_ROW),
    "eetq": ({"quant_method": "eetq", "weights": "int8"}, "w8a16", INT8_ROW),
    "bitsandbytes-8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "w8a8", INT8_ROW),
    "bitsandbytes-2023": ({"load_in_8bit": True, "load_in_4bit": False}, "w8a8", INT8_ROW),
    "bitsandbytes-nf4": ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "nf4",
                         stored(4, 4, group=64)),
    "bitsandbytes-nf4-dq": ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
                             "bnb_4bit_use_double_quant": True}, "nf4-dq", stored(4, 1 + 4 / 256, group=64)),
    "bitsandbytes-fp4": ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "fp4-64:16", stored(4, 4, group=64)),
    "w4a16": (compressed(INT4), "w4a16", W4),
    "w4a16-g64-zero": (compressed({**INT4, "symmetric": False, "group_size": 64}), "w4a16+g64+zp",
                       stored(4, group=64, zero=0.5)),
    "w4a16-channel": (compressed({**INT4, "strategy": "channel", "group_size": None}), "w4a16+channel", stored(4)),
    "w8a16-group": (compressed({**INT4, "num_bits": 8}), "w8a16+g128", stored(8, group=128)),
    "w8a16-channel": (compressed({**FP8, "type": "int"}), "w8a16", INT8_ROW),
    "w8a8": (compressed({**FP8, "type": "int"}, {**TOKEN, "type": "int"}), "w8a8", INT8_ROW),
    "w4a8": (compressed(INT4, {**TOKEN, "type": "int"}), "w4a8", W4),
    "w4a8-fp8": (compressed(INT4, TOKEN), "int4:fp8", W4),
    "fp8-dynamic": (compressed(FP8, TOKEN), "fp8", FP8_ROW),
    "fp8-tensor": (compressed({**FP8, "strategy": "tensor"}, {**TOKEN, "strategy": "tensor"}), "fp8-tensor", FP8_ALL),
    "fp8-mixed-scales": (compressed(FP8, {**TOKEN, "strategy": "tensor"}), "fp8:fp8-tensor", FP8_ROW),
    "fp8-weights": (compressed(FP8), "fp8:16", FP8_ROW),
    "fp8-blocks": (compressed({**FP8, "strategy": "block", "block_structure": [128, 128]},
                              {**TOKEN, "strategy": "group", "group_size": 128}), "fp8-block", BLOCKS),
    "nvfp4": (compressed(FP4, FP4), "nvfp4", NVFP4),
    "nvfp4a16": (compressed(FP4), "nvfp4a16", NVFP4),
    "mxfp4-weights": (compressed({**FP4, "group_size": 32, "strategy": "group"}), "mxfp4", MXFP4),
    "mxfp4": (compressed({**FP4, "group_size": 32}, {**FP4, "group_size": 32}), "mxfp4a4", MXFP4),
    "kv-scheme": (compressed(FP8, TOKEN, kv_cache_scheme={"num_bits": 8, "type": "float"}), "fp8+kv8", FP8_ROW),
    "kv-alone": ({"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}, "kv8",
                 wide),
    "modelopt-fp8": (modelopt("FP8"), "fp8-tensor", FP8_ALL),
    "modelopt-nvfp4": (modelopt("NVFP4", kv_cache_scheme={"num_bits": 8, "type": "float"}), "nvfp4+kv8", NVFP4),
    "modelopt-nvfp4a16": (modelopt("W4A16_NVFP4"), "nvfp4a16", NVFP4),
    "modelopt-awq": (modelopt("W4A16_AWQ", group_size=64), "w4a16+g64", W4_64),
    "modelopt-w4a8": (modelopt("W4A8_AWQ"), "int4:fp8-tensor", W4),
    "modelopt-smooth": (modelopt("W8A8_SQ_PER_CHANNEL"), "w8a8", INT8_ROW),
    "modelopt-mxfp8": (modelopt("MXFP8"), "mxfp8", stored(8, 1, group=32)),
    "modelopt-nameless": ({"quant_algo": "FP8", "kv_cache_scheme": "FP8", "producer": {"name": "modelopt"}},
                          "fp8-tensor+kv8", FP8_ALL),
    "modelopt-kv-alone": ({"quantization": {"quant_algo": None, "kv_cache_quant_algo": "FP8"}}, "kv8", wide),
    "torchao-int4": (torchao("Int4WeightOnlyConfig", group_size=128), "w4a16+zp16", W4_WIDE_ZERO),
    "torchao-int8": (torchao("Int8WeightOnlyConfig"), "w8a16", INT8_ROW),
    "torchao-fp8": (torchao("Float8DynamicActivationFloat8WeightConfig", granularity=[{"_type": "PerRow"}]), "fp8",
                    FP8_ROW),
    "torchao-name": ({"quant_method": "torchao", "quant_type": "int4_weight_only",
                      "quant_type_kwargs": {"group_size": 64}}, "w4a16+g64+zp16", stored(4, group=64, zero=2)),
    "hqq": ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}},
            "w4a16+g64+zp16", stored(4, group=64, zero=2)),
    "quanto": ({"quant_method": "quanto", "weights": "int4"}, "w4a16+zp16", W4_WIDE_ZERO),
    "bitnet": ({"quant_method": "bitnet", "quantization_mode": "offline"}, "int2-tensor:int8", stored(2, rows=0)),
    "four-over-six": ({"quant_method": "fouroversix", "scale_rule": "mse"}, "nvfp4", NVFP4),
    "higgs": ({"quant_method": "higgs", "bits": 4, "p": 2, "hadamard_size": 512, "group_size": 256}, "w4a16+g256",
              stored(4, group=256)),
    "higgs-3": ({"quant_method": "higgs", "bits": 3, "group_size": 128}, "w3a16", stored(3, group=128)),
    "metal": ({"quant_method": "metal", "bits": 4, "group_size": 64}, "w4a16+g64+zp16", stored(4, group=64, zero=2)),
    "metal-8": ({"quant_method": "metal", "bits": 8, "group_size": 64}, "w8a16+g64+zp16",
                stored(8, group=64, zero=2)),
    "quark-fp8": (quark({"dtype": "fp8_e4m3", "qscheme": "per_tensor"}, {"dtype": "fp8_e4m3", "qscheme": "per_tensor"},
                        kv_cache_quant_config={"*k_proj": {"output_tensors": {"dtype": "fp8_e4m3"}}}),
                  "fp8-tensor+kv8", FP8_ALL),
    "quark-mxfp4": (quark({"dtype": "fp4", "qscheme": "per_group", "group_size": 32},
                          {"dtype": "fp4", "qscheme": "per_group", "group_size": 32}), "mxfp4a4", MXFP4),
    "quark-int8": (quark({"dtype": "int8", "qscheme": "per_channel"}, {"dtype": "int8", "qscheme": "per_tensor"}),
                   "w8a8", INT8_ROW),
}  # fmt: skip
"""Facts of the formats: GPTQ and AutoRound hold zero points, symmetric or not; HQQ, torchao and quanto wide ones."""


Header = dict[str, tuple[str, int, int]]
"""A tensor of a file -> its dtype, elements, bytes."""


def plain(tensor: Tensor, dtype: str = "BF16", width: int = 2) -> Header:
    """A tensor in so many bytes an element, each copy by its name."""
    size = tensor.depth * tensor.out
    return {f"{name}.weight": (dtype, size, width * size) for name in _published(tensor)}


def in_blocks(tensor: Tensor) -> Header:
    """A matrix in fp8 with a scale for 128 x 128, as DeepSeek's files have them."""
    blocks = math.ceil(tensor.depth / 128) * math.ceil(tensor.out / 128)
    scales = {f"{name}.weight_scale_inv": ("F32", blocks, 4 * blocks) for name in _published(tensor)}
    return plain(tensor, "F8_E4M3", 1) | scales


def packed(tensor: Tensor) -> Header:
    """A matrix of GPTQ in 4 bits, groups of 128: whole numbers that hold eight of it, scales, zero points."""
    size, groups = tensor.depth * tensor.out, math.ceil(tensor.depth / 128)
    parts = {"qweight": ("I32", size // 8, size // 2), "scales": ("F16", groups * tensor.out, 2 * groups * tensor.out),
             "qzeros": ("I32", groups * tensor.out // 8, groups * tensor.out // 2)}  # fmt: skip
    return {f"{name}.{part}": held for name in _published(tensor) for part, held in parts.items()}


def _published(tensor: Tensor) -> list[str]:
    """The names of all copies, as transformers has them."""
    name = {"embed": "model.embed_tokens", "norm": "model.norm"}.get(tensor.name, tensor.name)
    return [name.replace("experts.0", f"experts.{copy}") for copy in range(tensor.copies)]


def write_tensors(file: Path, header: Header) -> int:
    """A file of safetensors that ends behind its header; the bytes that it says to hold."""
    at, entries = 0, {}
    for name, (dtype, elements, size) in header.items():
        entries[name] = {"dtype": dtype, "shape": [elements], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps({"__metadata__": {}, **entries}).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    return at
