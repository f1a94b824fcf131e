"""Every ``quant_method`` that is read: what its options say of weights, activations, KV cache and modules left alone.

A method is a function of the options; it raises ValueError, in words, for what is stored in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from roofline.compression.modules import Modules
from roofline.compression.recipes import head_of
from roofline.errors import shown
from roofline.models.checkpoints.compressed_tensors import compressed_tensors, of_targets
from roofline.models.checkpoints.modelopt import modelopt
from roofline.models.checkpoints.options import Options, Stored, mapping
from roofline.models.checkpoints.quark import quark
from roofline.models.checkpoints.schemes import PLAIN, integers, scheme


def _gptq(o: Options) -> Stored:
    """GPTQ files hold zero points, symmetric or not; ``dynamic`` are modules of other bits, or of none."""
    bits, group = o.get("bits"), o.get("group_size", 128)
    rules: list[tuple[Modules, str]] = []
    for pattern, own in mapping("dynamic", o.get("dynamic") or {}).items():
        names = Modules((f"re:{str(pattern).removeprefix('+:').removeprefix('-:')}",))
        if str(pattern).startswith("-:"):
            rules.append((names, PLAIN))
        else:
            told = mapping("dynamic", own)
            rules.append((names, integers(told.get("bits", bits), told.get("group_size", group), zero="zp")))
    return Stored(integers(bits, group, zero="zp"), rules=tuple(rules))


def _awq(o: Options) -> Stored:
    bits, group = o.get("bits", o.get("w_bit", 4)), o.get("group_size", o.get("q_group_size", 128))
    return Stored(integers(bits, group, zero="zp" if o.get("zero_point", True) else ""))


def _auto_round(o: Options) -> Stored:
    """AutoRound packs as GPTQ does, or floats; ``extra_config`` are modules of other bits."""
    kind, bits, group = str(o.get("data_type", "int")), o.get("bits", 4), o.get("group_size", 128)
    if kind.startswith(("mx_fp", "nv_fp", "fp")):
        narrow = {"num_bits": bits, "type": "float", "group_size": group if kind != "fp" else 0}
        if kind == "fp":
            narrow["strategy"] = "channel"
        acts = o.get("act_bits")
        own = {**narrow, "num_bits": acts} if isinstance(acts, int) and acts < 16 else None
        return Stored(scheme(narrow, own))
    if kind != "int":
        msg = f"data_type {shown(kind)}"
        raise ValueError(msg)
    rules: list[tuple[Modules, str]] = []
    for name, own in mapping("extra_config", o.get("extra_config") or {}).items():
        told = mapping("extra_config", own)
        wide = told.get("bits", bits) in (16, 32)
        other = PLAIN if wide else integers(told.get("bits", bits), told.get("group_size", group), zero="zp")
        rules.append((Modules((str(name),)), other))
    return Stored(integers(bits, group, zero="zp"), rules=tuple(rules))


def _fp8(o: Options) -> Stored:
    """FP8 by blocks, whatever the scales are kept in, or by tensors; blocks of 1 x 32 are MXFP8.

    Experts in ``fp4`` are E2M1 in groups of 32 with a scale of powers of two each (DeepSeek-V4).
    """
    block, experts = o.get("weight_block_size"), o.get("expert_dtype") or "fp8"
    if experts not in ("fp8", "fp4"):
        msg = f"experts in {shown(experts)}"
        raise ValueError(msg)
    routed = ((Modules(("re:.*\\.experts\\..*",)), "mxfp4:fp8"),) if experts == "fp4" else ()
    if block is None:
        return Stored("fp8-tensor", rules=routed)
    size = list(block) if isinstance(block, (list, tuple)) else []
    form = {"[128, 128]": "fp8-block", "[1, 32]": "mxfp8"}.get(str(size))
    if form is None:
        msg = f"blocks of {(' x '.join(map(str, size)) or shown(block))[:40]}"
        raise ValueError(msg)
    return Stored(form, rules=routed)


def _fp_quant(o: Options) -> Stored:
    """FP-Quant: four bits on both sides, behind a rotation in groups that is not counted."""
    if o.get("store_master_weights") or o.get("pseudoquantization"):
        msg = "weights kept in 16 bits beside those in 4"
        raise ValueError(msg)
    return Stored(_named(o, "forward_dtype", "nvfp4", {"nvfp4": "nvfp4", "mxfp4": "mxfp4a4"}))


def _fouroversix(o: Options) -> Stored:
    """Four Over Six: NVFP4 or MXFP4, whose blocks choose between two scales."""
    own = {option: o.get(option) for option in ("weight_dtype", "activation_dtype", "module_config_overrides")}
    if o.get("keep_master_weights") or any(own.values()):
        name = next((option for option, value in own.items() if value), "keep_master_weights")
        msg = f"{name} {shown(o.get(name))}"
        raise ValueError(msg)
    return Stored(_named(o, "dtype", "nvfp4", {"nvfp4": "nvfp4", "mxfp4": "mxfp4a4"}))


def _higgs(o: Options) -> Stored:
    """HIGGS: codes of vectors, so many bits a weight, and a scale for each group; a kilobyte of tables is left out."""
    return Stored(integers(o.get("bits", 4), o.get("group_size", 256)))


def _metal(o: Options) -> Stored:
    """MLX's affine form: a scale and a bias of 16 bits for each group."""
    return Stored(integers(o.get("bits", 4), o.get("group_size", 64), zero="zp16"))


def _bitnet(o: Options) -> Stored:
    """BitNet: ternary weights, four to a byte, by activations of 8 bits; kept in 16 bits where they are made online."""
    if o.get("quantization_mode", "offline") != "offline" or o.get("use_rms_norm"):
        name = "use_rms_norm" if o.get("use_rms_norm") else "quantization_mode"
        msg = f"{name} {shown(o.get(name))}"
        raise ValueError(msg)
    return Stored("int2-tensor:int8")


def _named(o: Options, option: str, usual: str, forms: Mapping[str, str]) -> str:
    """The format that an option names. Raises ValueError for a name that is none."""
    form = forms.get(str(o.get(option, usual)))
    if form is None:
        msg = f"{option} {shown(o.get(option))}"
        raise ValueError(msg)
    return form


def _bitsandbytes(o: Options) -> Stored:
    eight, four = (bool(o.get(f"load_in_{bits}bit") or o.get(f"_load_in_{bits}bit")) for bits in (8, 4))
    if eight == four:
        msg = "both load_in_8bit and load_in_4bit" if four else "neither load_in_8bit nor load_in_4bit"
        raise ValueError(msg)
    if eight:
        return Stored("w8a8")
    form = _named(o, "bnb_4bit_quant_type", "fp4", {"nf4": "nf4", "fp4": "fp4-64"})
    return Stored(head_of(f"{form}-dq" if o.get("bnb_4bit_use_double_quant") else form, ""))


_TORCHAO = {
    "int8weightonly": "w8a16",
    "int8dynamicactivationint8weight": "w8a8",
    "float8weightonly": "fp8:16",
    "float8dynamicactivationfloat8weight": "fp8-tensor",
    "float8dynamicactivationint4weight": "int4:fp8",
    "nvfp4inference": "nvfp4",
}


def _torchao(o: Options) -> Stored:
    """torchao: the name of a configuration and its options, as text or as a nested mapping."""
    given, options = o.get("quant_type"), mapping("quant_type_kwargs", o.get("quant_type_kwargs") or {})
    if isinstance(given, Mapping):
        inner = mapping("quant_type", given.get("default", given))
        given, options = inner.get("_type"), mapping("_data", inner.get("_data") or {})
    name = str(given).removesuffix("Config").replace("_", "").lower()
    group = options.get("group_size", 128)
    if name in ("int4weightonly", "int8dynamicactivationint4weight"):
        narrow = name != "int4weightonly"
        return Stored(integers(4, group, zero="" if narrow else "zp16", activations="int8" if narrow else ""))
    if name not in _TORCHAO:
        msg = f"quant_type {shown(given)}"
        raise ValueError(msg)
    rows = "row" in str(options.get("granularity", "")).lower()
    return Stored("fp8" if rows and _TORCHAO[name] == "fp8-tensor" else _TORCHAO[name])


def _hqq(o: Options) -> Stored:
    """HQQ: one scheme for all modules, or one for each that is named, beside which the others stay in 16 bits."""
    inner = mapping("quant_config", o.get("quant_config") or o)
    if "weight_quant_params" in inner or "nbits" in inner:
        return Stored(_hqq_scheme(inner))
    named = {name: own for name, own in inner.items() if isinstance(own, Mapping) and "weight_quant_params" in own}
    if not named:
        msg = "neither nbits nor weight_quant_params"
        raise ValueError(msg)
    return of_targets([((str(name),), _hqq_scheme(own)) for name, own in named.items()], "")


def _hqq_scheme(given: Options) -> str:
    """Scales and zero points of 16 bits; three bits are packed into 3.2, which is none of ours."""
    told = mapping("weight_quant_params", given.get("weight_quant_params") or given)
    bits = told.get("nbits")
    if bits == 3:
        msg = "3 bits, ten to each 32,"
        raise ValueError(msg)
    return integers(bits, told.get("group_size", 64), zero="zp16")


def _quanto(o: Options) -> Stored:
    """quanto: 8 bits with a scale for each output, 4 and 2 in groups of 128 with a shift of 16 bits."""
    if o.get("activations") is not None:
        msg = f"activations {shown(o['activations'])}"
        raise ValueError(msg)
    weights = o.get("weights")
    if weights in ("int2", "int4"):
        return Stored(integers(int(str(weights)[3:]), 128, zero="zp16"))
    if weights not in ("int8", "float8"):
        msg = f"weights {shown(weights)}"
        raise ValueError(msg)
    return Stored("w8a16" if weights == "int8" else "fp8:16")


def _always(words: str) -> Callable[[Options], Stored]:
    return lambda _: Stored(words)


METHODS: dict[str, Callable[[Options], Stored]] = {
    "auto-round": _auto_round,
    "auto_round": _auto_round,
    "awq": _awq,
    "awq_marlin": _awq,
    "bitnet": _bitnet,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": compressed_tensors,
    "eetq": _always("w8a16"),
    "fbgemm_fp8": _always("fp8"),
    "fouroversix": _fouroversix,
    "fp8": _fp8,
    "fp_quant": _fp_quant,
    "gptq": _gptq,
    "gptq_marlin": _gptq,
    "higgs": _higgs,
    "hqq": _hqq,
    "intel/auto-round": _auto_round,
    "metal": _metal,
    "modelopt": modelopt,
    "modelopt_fp4": modelopt,
    "modelopt_mixed": modelopt,
    "mxfp4": _always("mxfp4+experts"),
    "quanto": _quanto,
    "quark": quark,
    "torchao": _torchao,
}
"""``quant_method`` -> what its options say; beside them ``left_alone`` reads the modules that stay in 16 bits."""

UNREAD: dict[str, str] = {
    "aqlm": "indices into codebooks of vectors",
    "gemma": "whole numbers with scales of activations, embeddings among them",
    "gguf": "blocks of a GGUF file",
    "nvfp4": "weights in 16 bits that are packed as they are loaded",
    "sinq": "whole numbers with scales along both sides",
    "spqr": "tiles of 16 x 16 with outliers beside them",
    "vptq": "indices into codebooks of vectors, layer by layer",
}
"""``quant_method`` -> what it stores, of those that transformers knows and this program does not."""
