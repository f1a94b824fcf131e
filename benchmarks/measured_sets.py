"""Public operator timings as sets of rows, each split by shape into rows to fit, rows for the band, rows to judge by.

The split is by values: a row is fitted if every one of its model dimensions is on the list of values to fit, and judged
if none of them is; where only some are, it is neither, and serves the error band. A set with one dimension has no such
rows: its band comes from leaving out each fitted value in turn. Batch sizes and token counts are no model dimensions.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from roofline.compression.quantization import quantized_groups
from roofline.compression.recipes import read_recipe
from roofline.cost.cost import Cost, operator_cost
from roofline.cost.kernel_shapes import MatmulShape
from roofline.fitting.operators import Timed
from roofline.hardware.loading import load_hardware, read_hardware_fields, spec_from_fields
from roofline.hardware.spec import HardwareSpec
from roofline.operators.statements import statement_of
from roofline.program.axes import Sizes
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.program import Group
from roofline.program.workload import Precision
from roofline.timing.dtype_support import scaled_by
from roofline.timing.machine import kind_of

Rows = list[dict[str, str]]

GEMM_FIT = frozenset((64, 768, 1536, 2560, 3072, 6144, 7680, 10240, 12288))
HEADS_FIT = frozenset((4, 24, 48))
KV_HEADS_FIT = frozenset((1, 4, 24, 48))
PROMPT_FIT = frozenset((32, 128, 512, 2048, 8192))
PAST_FIT = frozenset(n + 1 for n in (1, 31, 127, 511, 2047, 16383, 65535))
WIDTH_FIT = frozenset((1024, 1600, 2560, 4096, 6400, 10240, 16384))
ROWS_FIT = frozenset((16384, 40960, 65536, 98304, 163840, 262144, 393216, 655360, 1048576, 1572864, 3145728))
FIT_MODELS = ("internlm-20b", "phi-2", "Llama-2-7b-hf", "Meta-Llama-3-8B")


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSet:
    """Timed operators of one kind on one device; ``fit_values`` maps each model dimension to the values to fit.

    sizes: arrays, one per size of the kind. measured_s: [s]. operator: its name inside a model. runtime: whose kernels.
    host_time: whether the times include what the host does. kept: the dtype of caches, states, if another.
    apart: whether new states are made in fp32 beside the old ones. recipe: how a matmul is
    stored, where its dtype says too little.
    """

    name: str
    kind: str
    device: HardwareSpec
    dtype: str
    sizes: Mapping[str, Any]
    measured_s: Any
    fit_values: Mapping[str, frozenset[int]]
    operator: str = ""
    runtime: str = ""
    host_time: bool = False
    kept: str = ""
    apart: bool = False
    recipe: str = ""

    def __len__(self) -> int:
        return len(self.measured_s)

    def where(self, rows: Any) -> MeasuredSet:
        """The rows that a mask picks."""
        return replace(self, sizes={k: v[rows] for k, v in self.sizes.items()}, measured_s=self.measured_s[rows])

    def fitted(self) -> MeasuredSet:
        """The rows to fit: each model dimension has a value to fit."""
        return self.where(np.all(self._known(), axis=0))

    def held_out(self) -> MeasuredSet:
        """The rows to judge by: no model dimension has a value to fit."""
        return self.where(~np.any(self._known(), axis=0))

    def between(self) -> MeasuredSet:
        """The rows for the band: neither fitted nor judged."""
        known = self._known()
        return self.where(np.any(known, axis=0) & ~np.all(known, axis=0))

    def values(self) -> dict[str, list[float]]:
        """The values of each model dimension."""
        return {name: np.unique(self.sizes[name]).tolist() for name in self.fit_values}

    def timed(self) -> list[Timed]:
        """The rows as campaigns for a fit: one for each number of inputs, with and without a window, by statement."""
        if not len(self):
            return []
        alike = self.sizes.get("inputs", self.sizes.get("window", np.zeros(len(self))) > 0)
        parts = [self.where(alike == value) for value in np.unique(alike)]
        return [Timed(part.cost(), part.device, part.measured_s, len(part) / len(self)) for part in parts]

    @property
    def timed_dtype(self) -> str:
        """The dtype whose constants the operators take: in fp8 those with scales by block have their own."""
        return "fp8_block" if self.recipe == "fp8-block" else self.dtype

    @property
    def constants_kind(self) -> str:
        """The kind of constants that the operators take."""
        return kind_of(self.cost())

    def cost(self) -> Cost:
        """What the operators cost, from the same statement as in ``predict_op``."""
        op, sizes = statement_of(self.kind, self.sizes)
        if self.recipe:
            return replace(self._stored(op, sizes), weight_sets=self.sizes.get("weight_sets", 0))
        op = _with_new_states(op) if self.apart else op
        decoding = "query" in self.sizes and bool(np.all(self.sizes["query"] == 1))
        precision = Precision(self.dtype, self.dtype, self.kept or self.dtype, self.kept)
        cost = operator_cost(op, sizes, precision, decoding=decoding)
        return replace(cost, alone=True, weight_sets=self.sizes.get("weight_sets", 0))

    def _stored(self, op: Op, sizes: Sizes) -> Cost:
        """The cost of a matmul whose operands are stored as the recipe says; what quantises before it is another's."""
        recipe = scaled_by(self.device, read_recipe(self.recipe, default="bf16"))
        (group,) = quantized_groups((Group(op.name, (op,), phases=(Phase.PREFILL,)),), recipe)
        costs = [operator_cost(each, sizes, recipe.precision) for each in group.ops]
        (found,) = [cost for cost in costs if isinstance(cost.shape, MatmulShape)]
        return replace(found, alone=True)

    def _known(self) -> Any:
        """Whether each model dimension of each row has a value to fit: [dimensions, rows]."""
        found = [np.isin(self.sizes[name], list(values)) for name, values in self.fit_values.items()]
        return np.array(found, bool).reshape(len(found), len(self))


def _with_new_states(op: Op) -> Op:
    """The same with new states in fp32, beside the old ones."""
    new = (replace(each, name="new_state", dtype="fp32") if each.role == "state" else each for each in op.writes)
    return replace(op, writes=tuple(new))


def assert_disjoint(fitted: Iterable[MeasuredSet], judged: Iterable[MeasuredSet]) -> None:
    """Raises AssertionError if a judged row has a model dimension of a row that its device's constants were fitted to.

    An operator with constants of its own shares none with others of its kind.
    """
    seen: dict[tuple[str, str, str], set[float]] = {}
    for rows in fitted:
        for name, values in rows.values().items():
            seen.setdefault((rows.device.name, rows.operator or rows.kind, name), set()).update(values)
    for rows in judged:
        for name, values in rows.values().items():
            shared = seen.get((rows.device.name, rows.operator or rows.kind, name), set()) & set(values)
            assert not shared, f"{rows.name}: {name} {sorted(shared)} stand among the fitted rows"


def load_sets(data: Path) -> list[MeasuredSet]:
    """Every set of the folder, in the order of the scoreboard."""
    return [rows for read in _READERS for rows in read(data)]


def _gemm(data: Path) -> Iterable[MeasuredSet]:
    rows = [row for row in _read(data, "aiconfigurator/gemm_a100_sxm.csv") if row["dtype"] == "bfloat16"]
    for framework, column in (("TensorRT-LLM", "latency_ms_trtllm-1.0.0"), ("vLLM", "latency_ms_vllm-0.14.0")):
        yield _matmul(f"GEMM bf16, {framework}", load_hardware("a100"), "bf16", rows, column, 1e-3)


def _vidur_gemm(data: Path) -> Iterable[MeasuredSet]:
    shapes: Rows = []
    for row in _read(data, "vidur/mlp_a100.csv"):
        r = {k: int(v) for k, v in row.items() if k.startswith(("n_", "num_"))}
        tp, d, f = r["num_tensor_parallel_workers"], r["n_embd"], r["n_expanded_embd"]
        head_dim = d // r["n_head"]
        qkv = (r["n_head"] // tp + 2 * max(r["n_kv_head"] // tp, 1)) * head_dim
        up = (2 if row["use_gated_mlp"] == "True" else 1) * f // tp
        gemms = {"attn_pre_proj": (qkv, d), "attn_post_proj": (d, d // tp), "mlp_up_proj": (up, d),
                 "mlp_down_proj": (d, f // tp)}  # fmt: skip
        for name, (n, k) in gemms.items():
            ms = row[f"{name}_ms"]
            shapes.append({"m": str(r["num_tokens"]), "n": str(n), "k": str(k), "ms": ms})
    yield _matmul("layer GEMMs fp16, vidur", load_hardware("a100"), "fp16", shapes, "ms", 1e-3)


def _llmcompass(data: Path) -> Iterable[MeasuredSet]:
    rows = [row for row in _read(data, "llmcompass/ops.csv") if row["op"] == "matmul_bf16"]
    every = _matmul("GEMM bf16, LLMCompass (host time in)", load_hardware("a100"), "bf16", rows, "latency_ms", 1e-3)
    yield replace(every, host_time=True)


def _infersim_gemm(data: Path) -> Iterable[MeasuredSet]:
    for gpu in ("h800", "h20"):
        rows = [row for row in _read(data, "infersim/gemm.csv") if row["gpu"] == gpu]
        once = list({tuple(row.items()): row for row in rows}.values())
        rows_of = _matmul(f"GEMM fp8 by block, {gpu.upper()}", other_device(gpu), "fp8", once, "latency_us", 1e-6, {})
        yield replace(rows_of, recipe="fp8-block")


def _neusight_gemm(data: Path) -> Iterable[MeasuredSet]:
    for title, device in _NEUSIGHT.items():
        rows = [
            row for row in _read(data, "neusight/fp32_gemm.csv") if row["device"] == title and row["op"] == "linear"
        ]
        yield _matmul(f"linear fp32, {title}", other_device(device), "fp32", rows, "latency_ms", 1e-3, {})


def _prefill(data: Path) -> Iterable[MeasuredSet]:
    files = {"vLLM": "attention_context_a100_sxm_vllm.csv", "TensorRT-LLM": "attention_context_a100_sxm.csv"}
    for framework, file in files.items():
        rows = [row for row in _read(data, f"aiconfigurator/{file}") if int(row["q_len"]) > 1]  # one token is a decode
        sizes = {**_attention(rows), "query": _column(rows, "q_len"), "context": _column(rows, "q_len")}
        known = {"query": PROMPT_FIT, "heads": HEADS_FIT, "kv_heads": KV_HEADS_FIT}
        yield _a100_attention(f"prefill attention, {framework}", sizes, rows, known, framework)


def _decode(data: Path) -> Iterable[MeasuredSet]:
    files = {"vLLM": "attention_generation_a100_sxm_vllm.csv", "TensorRT-LLM": "attention_generation_a100_sxm.csv"}
    for framework, file in files.items():
        rows = [row for row in _read(data, f"aiconfigurator/{file}") if row.get("suspect", "0") == "0"]
        sizes = {**_attention(rows), "query": np.ones(len(rows)), "context": _column(rows, "past_kv_len") + 1}
        known = {"context": PAST_FIT, "heads": HEADS_FIT, "kv_heads": KV_HEADS_FIT}
        yield _a100_attention(f"decode attention, {framework}", sizes, rows, known, framework)


def _infersim_attention(data: Path) -> Iterable[MeasuredSet]:
    for phase, gpu in (("prefill", "h20"), ("decode", "h800"), ("decode", "h20")):
        rows = [r for r in _read(data, f"infersim/mha_{phase}.csv") if r["gpu"] == gpu and "fp8" not in r.values()]
        shape = np.array([[float(x) for x in row["heads_kvheads_dim"].split("-")] for row in rows]).T
        one = np.ones(len(rows))
        length = _column(rows, "kv_len" if phase == "decode" else "seq_len")
        sizes = {"batch": _column(rows, "batch_size") if phase == "decode" else one, "context": length,
                 "query": one if phase == "decode" else length, "heads": shape[0], "kv_heads": shape[1],
                 "head_dim": shape[2], "causal": one}  # fmt: skip
        seconds = _column(rows, "latency_us") * 1e-6
        yield MeasuredSet(f"{phase} attention bf16, {gpu.upper()}", "attention", other_device(gpu), "bf16", sizes,
                          seconds, {})  # fmt: skip


def _vidur_streams(data: Path) -> Iterable[MeasuredSet]:
    rows = _read(data, "vidur/mlp_a100.csv")
    tokens, width = _column(rows, "num_tokens"), _column(rows, "n_embd")
    tp = _column(rows, "num_tensor_parallel_workers")
    ffn = _column(rows, "n_expanded_embd") / tp
    heads, kv = _column(rows, "n_head") / tp, np.maximum(_column(rows, "n_kv_head") / tp, 1)
    qk = (heads + kv) * (width / _column(rows, "n_head"))
    llama = np.array([row["model"] != "phi-2" for row in rows])  # phi-2: LayerNorm, no gate, two additions of three
    one, two = np.ones(len(rows)), np.full(len(rows), 2.0)
    operators: dict[str, tuple[str, dict[str, Any]]] = {
        "emb": ("embedding", {"tokens": tokens, "columns": width}),
        "input_layernorm": ("norm", {"rows": tokens, "columns": width}),
        "post_attention_layernorm": ("norm", {"rows": tokens, "columns": width}),
        "attn_rope": ("elementwise", {"rows": tokens, "columns": qk, "inputs": one}),
        "mlp_act": ("elementwise", {"rows": tokens, "columns": ffn, "inputs": two}),
        "add": ("elementwise", {"rows": tokens, "columns": width, "inputs": two}),
    }
    fits = np.array([row["model"] in FIT_MODELS for row in rows])
    for name, (kind, sizes) in operators.items():
        known = frozenset(sizes["columns"][fits].astype(int).tolist())
        seconds = np.array([float(row[f"{name}_ms"] or "nan") for row in rows]) * 1e-3
        whole = MeasuredSet(f"{name}, vidur", kind, load_hardware("a100"), "fp16", sizes, seconds, {"columns": known})
        told = replace(whole, operator=_NAMES.get(name, ""))
        yield told.where((seconds > 0) & (llama if name in _DIFFERENT_IN_PHI else True))


def _neusight_streams(data: Path) -> Iterable[MeasuredSet]:
    every = _read(data, "neusight/fp32_vector.csv")
    for title, device in _NEUSIGHT.items():
        for name, (kind, ops) in _VECTOR.items():
            rows = [row for row in every if row["device"] == title and row["op"] in ops]
            sizes: dict[str, Any] = {"rows": _column(rows, "B"), "columns": _column(rows, "H")}
            if kind == "elementwise":
                sizes["inputs"] = np.array([2.0 if row["op"] in _BINARY else 1.0 for row in rows])
            known = {"rows": ROWS_FIT, "columns": WIDTH_FIT}
            seconds = _column(rows, "latency_ms") * 1e-3
            yield MeasuredSet(f"{name} fp32, {title}", kind, other_device(device), "fp32", sizes, seconds, known)


_READERS: tuple[Callable[[Path], Iterable[MeasuredSet]], ...] = (
    _gemm, _vidur_gemm, _llmcompass, _prefill, _decode, _vidur_streams, _neusight_streams, _neusight_gemm,
    _infersim_gemm, _infersim_attention)  # fmt: skip

_NEUSIGHT = {
    "NVIDIA A100 80GB PCIe": "a100-pcie-80gb",
    "NVIDIA A100-PCIE-40GB": "a100-pcie-40gb",
    "Tesla V100-PCIE-32GB": "v100",
    "Tesla P100-PCIE-16GB": "p100",
}
_DIFFERENT_IN_PHI = ("input_layernorm", "mlp_act", "add")
_NAMES = {"attn_rope": "rotary", "mlp_act": "act"}
_BINARY = ("add", "mul", "div", "pow")
_VECTOR = {
    "elementwise": ("elementwise", (*_BINARY, "addu", "mulu", "divu", "powu", "relu", "gelu", "tanh")),
    "layernorm": ("norm", ("ln",)),
    "softmax": ("softmax", ("softmax",)),
}

# The data sheets that the folders' READMEs state of devices that are not shipped: TFLOP/s of each unit and dtype, TB/s.
_SHEETS: dict[str, tuple[dict[str, dict[str, float]], float, str]] = {
    "v100": ({"matrix": {"fp16": 112.0}, "vector": {"fp32": 14.0}}, 0.900, "nvidia-tensor-core"),
    "p100": ({"vector": {"fp32": 9.3}}, 0.732, "nvidia-pre-tensor"),
}


@cache
def other_device(name: str) -> HardwareSpec:
    """A device of the measurements: shipped, or from what the README of its folder states.

    An H800 is an H100 SXM with slower links.
    """
    if name == "h800":
        fields, _ = read_hardware_fields("h100")
        return spec_from_fields({**fields, "name": name, "aliases": []}, name)
    if name not in _SHEETS:
        return load_hardware(name)
    peaks, bandwidth, calibration_class = _SHEETS[name]
    fields = {
        "name": name,
        "class": calibration_class,
        "source": "README of the measurements",
        "peak": {u: {d: f"{rate} TFLOP/s" for d, rate in by_dtype.items()} for u, by_dtype in peaks.items()},
        "memory": {"dram": {"bandwidth": f"{bandwidth} TB/s"}},
    }
    return spec_from_fields(fields, name, what_if=True)


def _matmul(
    name: str,
    device: HardwareSpec,
    dtype: str,
    rows: Rows,
    column: str,
    unit: float,
    known: Mapping[str, frozenset[int]] | None = None,
) -> MeasuredSet:
    sizes = {size: _column(rows, size) for size in "mkn"}
    fit_values = {"n": GEMM_FIT, "k": GEMM_FIT} if known is None else known
    return MeasuredSet(name, "matmul", device, dtype, sizes, _column(rows, column) * unit, fit_values)


def _attention(rows: Rows) -> dict[str, Any]:
    names = {"batch": "batch_size", "heads": "heads", "kv_heads": "kv_heads", "head_dim": "head_dim"}
    return {**{size: _column(rows, name) for size, name in names.items()}, "causal": np.ones(len(rows))}


def _a100_attention(
    name: str, sizes: dict[str, Any], rows: Rows, known: dict[str, frozenset[int]], framework: str
) -> MeasuredSet:
    seconds = _column(rows, "latency_ms") * 1e-3
    return MeasuredSet(name, "attention", load_hardware("a100"), "bf16", sizes, seconds, known, runtime=framework)


@cache
def _read(data: Path, file: str) -> Rows:
    with (data / file).open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _column(rows: Rows, name: str) -> Any:
    return np.array([float(row[name]) for row in rows])
