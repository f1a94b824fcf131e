"""How wrong predicted training steps are, on published step times that no constant was fitted to.

python benchmarks/training_board.py --data DIR [--write]

Beside them the rule of thumb: 6 x parameters x tokens at 40 % of the peak. ``cover`` is the share of rows inside the
predicted band, ``fits`` that of rows which, as they ran, are said to fit into the whole memory. --write puts the table
into docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.fitting.operators import SCALE, band_of
from roofline.options.keywords import completed
from roofline.options.verbs.training import TrainOptions
from roofline.training.question import read_training
from roofline.training.step import TrainingStep

PAGE = Path(__file__).resolve().parents[1] / "docs" / "accuracy.md"
EVERY = 12
"""Of vTrain's 1,440 runs one in so many is predicted."""

WAITING = 0.3
"""The share of a step from which on it says how far the host's time may be off."""

_PEAK, _RULE = 312e12, 0.4
_MPT = {"125m": (12, 768, 12), "350m": (24, 1024, 16), "760m": (24, 1536, 12), "1b": (24, 2048, 16),
        "3b": (32, 2560, 20), "7b": (32, 4096, 32), "13b": (40, 5120, 40), "30b": (48, 7168, 56),
        "70b": (80, 8192, 64)}  # fmt: skip
"""Layers, width and heads."""


@frozen
class Judged:
    """A step that was timed, with what was predicted of it. [s] ``held``: the step whose memory it took, if another."""

    name: str
    measured_s: float
    step: TrainingStep
    held: TrainingStep | None = None

    @property
    def ratio(self) -> float:
        """Predicted by measured."""
        return float(self.step.timing.time_s) / self.measured_s

    @property
    def covered(self) -> bool:
        """Whether it lies in the band."""
        t = self.step.timing
        return bool(t.low_s <= self.measured_s <= t.high_s)

    @property
    def fits(self) -> bool:
        """Whether it is said to fit."""
        return (self.held or self.step).fits is not False

    @property
    def waits(self) -> float:
        """The share of it in which the device waits for the host."""
        return self.step.causes.get("host", 0.0) / float(self.step.timing.time_s)

    @property
    def naive(self) -> float:
        """The rule of thumb by measured."""
        return self.step.six_nd / (_RULE * _PEAK * self.step.devices) / self.measured_s


def gpt(hidden: int, layers: int, heads: int, sequence: int, vocabulary: int) -> dict[str, Any]:
    """GPT-2's configuration with other sizes."""
    return {"model_type": "gpt2", "n_embd": hidden, "n_layer": layers, "n_head": heads, "n_positions": sequence,
            "vocab_size": vocabulary}  # fmt: skip


def asked(model: dict[str, Any], device: str, count: int, **options: Any) -> TrainingStep:
    """A step on so many devices, all of whose memory it may take."""
    usual = {"reserve": 0, "cp": 1, **options}
    hardware = f"{count}x{device}" if count > 1 else device
    return TrainingStep(read_training(model, hardware, completed(TrainOptions, usual, "train")))  # type: ignore[arg-type]


MEGATRON = {"dtype": "fp16-mixed", "engine": "megatron", "hidden": 0.0, "zero": 0}
"""Megatron-LM: attention in parts, gradients summed up after the last backward pass."""

DROPS = {**MEGATRON, "dropout": True}
"""Megatron-LM of 2021 and 2022: with dropout, its default, which neither published command line turns off; Korthikanti
et al. count its masks in every layer (section 4.1).
"""

_RUN = {"1.7": (16, 1), "3.6": (16, 1), "7.5": (16, 1), "18.4": (8, 1), "39.1": (4, 1), "76.1": (2, 3), "145.6": (2, 2),
        "310.1": (1, 2), "529.6": (1, 3), "1008.0": (1, 1)}  # fmt: skip
"""Sequences of a microbatch, and chunks of a stage, by billions of parameters: what the authors published to run table
1 with (Megatron-LM, examples/sc21/run_table_1.sh at 79a3bb6, which gives layers of a chunk).
"""


def narayanan(data: Path) -> Iterator[Judged]:
    """Narayanan et al. 2021, table 1, with the microbatches and schedules of its published script."""
    for row in _rows(data / "megatron" / "narayanan2021_a100.csv"):
        each, chunks = _RUN[row["params_billion"]]
        h, layers, heads, n, batch, tp, pp = (
            int(row[name]) for name in ("hidden", "layers", "heads", "gpus", "global_batch", "tp", "pp")
        )
        s, v = 2048, 51200
        flops = 96 * batch * s * layers * h * h * (1 + s / (6 * h) + v / (16 * layers * h))
        seconds = flops / (n * float(row["tflops_per_gpu"]) * 1e12)
        found = asked(gpt(h, layers, heads, s, v), "a100-sxm-80gb", n, batch=batch, tp=tp, pp=pp, sp=1,
                      recompute="full", microbatch=each, schedule=_schedule(chunks), **DROPS)  # fmt: skip
        yield Judged(row["params_billion"], seconds, found)


def korthikanti(data: Path) -> Iterator[Judged]:
    """Korthikanti et al. 2022: full recompute, and sequence parallelism with selective recompute."""
    ways = (("full", 1, "iter_s_full_recompute"), ("selective", 8, "iter_s_seqpar_selective_recompute"))
    for row in _rows(data / "megatron" / "korthikanti2022_a100.csv"):
        h, layers, heads, n, batch, tp, pp, each, chunks = (
            int(row[name])
            for name in ("hidden", "layers", "heads", "gpus", "global_batch", "tp", "pp", "micro_batch", "interleaving")
        )
        for policy, sp, column in ways:
            found = asked(gpt(h, layers, heads, 2048, 51200), "a100-sxm-80gb", n, batch=batch, tp=tp, pp=pp, sp=sp,
                          dp=1, recompute=policy, microbatch=each, schedule=_schedule(chunks), **DROPS)  # fmt: skip
            yield Judged(f"{row['model']} {policy}", float(row[column]), found)


def _schedule(chunks: int) -> str:
    return f"interleaved:{chunks}" if chunks > 1 else "1f1b"


def mpt(data: Path, *, fitted: bool = False, **options: Any) -> Iterator[Judged]:
    """MPT under FSDP, with flash_attn_triton.py; runs on A100 of 80 GB are judged.

    What of exchanges is free and that kernel (``fit_training_attention.py``) are ``fitted`` to those on A100 of 40 GB.
    Modules are eager: no ``compile_config`` stands in scripts/train/yamls/mpt, nor in what submit_benchmarks.py adds to
    them, which asks for checkpoints without re-entry. Their loss is flash-attn's, with which memory is told; after the
    backward pass run two training metrics in fp32: 34 B a score for 32 of eager cross-entropy, with which time is told.
    Both of its modes of mixed precision sum gradients up in bf16: Composer 0.15, ``get_mixed_precision``, and FSDP,
    which takes the parameters' format.
    """
    for row in _rows(data / "llm_foundry" / "mpt_training.csv"):
        if ("40" in row["gpu"]) != fitted:
            continue
        layers, h, heads = _MPT[row["model"]]
        sequence, n = int(row["seqlen_t"]), int(row["gpus"])
        device = "a100-sxm-80gb" if "80" in row["gpu"] else "a100-sxm-40gb"
        dtype = "bf16-autocast" if row["precision"].startswith("amp") else "bf16-mixed"
        policy = "full" if row["activation_checkpointing"] == "True" else "none"
        model = {**gpt(h, layers, heads, sequence, 50368), "activation_function": "gelu"}  # nn.GELU, one kernel
        found, held = (
            asked(model, device, n, sequence=sequence, dtype=dtype, tp=1, pp=1, sp=1, zero=3, loss=loss,
                  batch=int(row["globalbatchsize"]), microbatch=int(row["microbatchsize"]), recompute=policy,
                  kernels="flash-attn-triton", gradients="bf16", engine="transformers", **options)
            for loss in ("eager", "fused")
        )  # fmt: skip
        seconds = float(row["globalbatchsize_t"]) / float(row["throughput_t_s"])
        yield Judged(f"{row['model']} {sequence}", seconds, found, held)


def vtrain(data: Path, *, fitted: bool = False, **options: Any) -> Iterator[Judged]:
    """Small models on one node, Megatron-DeepSpeed: bound by the host, whose time per operator is ``fitted`` to every
    second pair of width and microbatch; the others are judged.
    """
    rows = _rows(data / "vtrain" / "single_node_a100.csv")
    pairs = sorted({(int(row["hidden"]), int(row["micro_batch"])) for row in rows})
    known = set(pairs[::2])
    for row in rows[::EVERY]:
        if ((int(row["hidden"]), int(row["micro_batch"])) in known) != fitted:
            continue
        h, layers, heads, n, batch, each, tp, pp, dp, sequence = (
            int(row[name])
            for name in (
                "hidden",
                "layers",
                "heads",
                "gpus",
                "global_batch",
                "micro_batch",
                "tp",
                "pp",
                "dp",
                "seq_len",
            )
        )
        found = asked(gpt(h, layers, heads, sequence, 51200), "a100-sxm-80gb", n, sequence=sequence, batch=batch, tp=tp,
                      pp=pp, dp=dp, sp=1, microbatch=each, recompute="full", **MEGATRON, **options)  # fmt: skip
        yield Judged(f"{h} x {layers}", float(row["iteration_ms"]) / 1000, found)


def bert(data: Path) -> Iterator[Judged]:
    """NVIDIA's pre-training of BERT-large in PyTorch, mixed precision, nodes of 8: fused kernels, attention in parts.

    Its head scores masked tokens alone, some 1.6 % of the FLOPs, and is left out; LAMB is told as AdamW.
    """
    records = json.loads((data / "dle_bert" / "bert_training.json").read_text(encoding="utf-8"))
    for row in records:
        if row["framework"] != "PyTorch" or "Multi-node" not in row["section"]:
            continue
        nodes, sequence = int(row["Nodes"]), int(row["Sequence length"])
        each = int(row["Batch size / GPU (TF32 and FP16)"].split("and")[1])
        own = int(row["Accumulated Batch size / GPU (TF32 and FP16)"].split("and")[1])
        count = 8 * nodes
        found = asked(BERT, "a100-sxm-80gb", count, sequence=sequence, batch=own * count, microbatch=each, tp=1, pp=1,
                      sp=1, zero=0, dtype="fp16-mixed", dropout=True, kernels="materialised",
                      recompute="none")  # fmt: skip
        yield Judged(f"{nodes} x 8, {sequence}", own * count / float(row["Mixed Precision Throughput"]), found)


BERT = {"model_type": "bert", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
        "intermediate_size": 4096, "vocab_size": 30528, "max_position_embeddings": 512}  # fmt: skip

SETS: dict[str, Callable[[Path], Iterator[Judged]]] = {
    "GPT 1.7B to 1T, Megatron-LM 2021, 32 to 3,072 A100": narayanan,
    "GPT 22B to 1T, Megatron-LM 2022, 8 to 512 A100": korthikanti,
    "MPT 125M to 70B, FSDP, FlashAttention 1, 8 to 64 A100 80GB": mpt,
    "GPT 0.2B to 1.3B, Megatron-DeepSpeed, 2 to 8 A100 (vTrain)": vtrain,
    "BERT-large, PyTorch, 8 to 256 A100 80GB (NVIDIA)": bert,
}


def line(name: str, rows: list[Judged]) -> str:
    """A row of the table."""
    ratios, naive = (np.array([getattr(row, which) for row in rows]) for which in ("ratio", "naive"))
    errors, rule = abs(ratios - 1), abs(naive - 1)
    cells = (
        name, f"{len(rows)}", *(f"{100 * x:.1f} %" for x in (np.median(errors), errors.mean(), errors.max())),
        f"{np.exp(np.log(ratios).mean()):.2f}", *(f"{np.mean([row.covered for row in rows]):.0%}".split()),
        f"{np.mean([row.fits for row in rows]):.0%}",
        *(f"{100 * x:.1f} %" for x in (np.median(rule), rule.mean())),
    )  # fmt: skip
    return f"| {' | '.join(cell.replace('%', ' %').replace('  %', ' %') for cell in cells)} |"


def fit_launch(data: Path) -> float:
    """The host's time per operator that has the least median error on the fitted half of vTrain's runs. [us]"""

    def error(microseconds: int) -> float:
        rows = vtrain(data, fitted=True, set={"engine.host_launch": f"{microseconds} us"})
        return float(np.median([abs(row.ratio - 1) for row in rows]))

    return min(range(61, 100, 3), key=error)


def host_band(data: Path) -> tuple[float, float]:
    """The 5th and 95th percentile of measured by predicted of those of the fitted steps that wait for the host."""
    rows = [row for row in vtrain(data, fitted=True) if row.waits > WAITING]
    return band_of(np.array([-np.log(row.ratio) for row in rows]), np.ones(len(rows)))


def fit_hidden(data: Path) -> float:
    """The free share of exchanges that has the least soft-L1 loss on MPT's runs on A100 of 40 GB."""

    def loss(tenths: int) -> float:
        logs = np.log([row.ratio for row in mpt(data, fitted=True, hidden=tenths / 10)])
        return float(np.sum(np.sqrt(1 + (logs / SCALE) ** 2)))

    return min(range(0, 11, 2), key=loss) / 10


HEADER = """\
| steps | n | median | mean | max | bias | cover | fits | 6 N D at 40 %: median | mean |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""


def board(data: Path) -> str:
    """The table."""
    return "\n".join([HEADER, *(line(name, list(rows(data))) for name, rows in SETS.items())])


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument(
        "--fit",
        action="store_true",
        help="print the host's time per operator, its band, the free share of exchanges",
    )
    given = parser.parse_args()
    if given.fit:
        low, high = host_band(given.data)
        print(f"{fit_launch(given.data)} us, {low:.2f} to {high:.2f} times that; hidden {fit_hidden(given.data)}")
        return
    found = board(given.data)
    print(found)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(re.sub(r"(<!-- training -->\n).*?(<!-- end -->)", rf"\1{found}\n\2", text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
