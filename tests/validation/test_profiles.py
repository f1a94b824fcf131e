"""Profilers' files: each report as its documentation states it, joined to operators; torch's profiler run here."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shell import answer, refusal

from roofline.errors import RooflineError
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.validation.profiles.kernels import Kernel, Profile
from roofline.validation.profiles.reading import read_profile
from roofline.validation.profiles.rules import SHIPPED, join_kernels, read_rules

DECODE = ("llama-3.1-8b", "--hardware", "h100", "--batch", "8", "--context", "2048")

HOPPER = "void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<...>>>"
COMBINE = "void cutlass::device_kernel<flash::FlashAttnFwdCombine<...>>"
CACHE = "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, 0>"
OUT = "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x64x64_warpgroupsize1x1x1"
ARGMAX = "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>>>"

RUNS: tuple[tuple[str, str, int, int], ...] = (
    ("void at::native::indexSelectSmallIndex<c10::BFloat16, long, unsigned int, 2, 2, -2>", "embed_tokens", 1, 3_000),
    ("void vllm::rms_norm_kernel<c10::BFloat16>", "layers.0.input_layernorm", 1, 3_000),
    ("void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>", "layers.0.post_attention_layernorm", 64, 3_400),
    ("nvjet_tst_64x8_64x16_2x4_v_bz_TNT", "layers.0.self_attn.qkv_proj", 32, 21_000),
    ("void vllm::rotary_embedding_kernel<c10::BFloat16, true>", "layers.0.self_attn.rotary_emb", 32, 2_600),
    (CACHE, "layers.0.self_attn.attn", 32, 2_100),
    (HOPPER, "layers.0.self_attn.attn", 32, 24_000),
    (COMBINE, "layers.0.self_attn.attn", 32, 3_100),
    (OUT, "layers.0.self_attn.o_proj", 32, 14_500),
    ("nvjet_tst_128x8_64x12_2x1_v_bz_TNT", "layers.0.mlp.gate_up_proj", 32, 82_000),
    ("void vllm::act_and_mul_kernel<c10::BFloat16, silu_kernel, true>", "layers.0.mlp.act_fn", 32, 2_700),
    ("void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16>", "layers.0.mlp.down_proj", 32, 2_900),
    ("nvjet_tst_64x8_64x16_4x2_h_bz_splitK_TNT", "layers.0.mlp.down_proj", 32, 41_000),
    ("nvjet_tst_256x8_64x8_2x1_v_bz_TNN", "lm_head", 1, 370_000),
    (ARGMAX, "sampler", 1, 15_000),
    ("void at::native::(anonymous namespace)::memset_probe", "", 3, 1_500),
)  # fmt: skip
"""Kernels of a decode step of vLLM on an H100: name, NVTX range, runs in a step, nanoseconds each."""

STEPS = 2


def quoted(text: str) -> str:
    return f'"{text}"' if "," in text else text


def kern_sum() -> str:
    """Nsight Systems 2025.3, ``nsys stats --report cuda_gpu_kern_sum --format csv``, with what it prints before."""
    rows = [
        f"1.0,{ns * n * STEPS},{n * STEPS},{ns}.0,{ns}.0,{ns - 9},{ns + 9},4.5,{quoted(name)}"
        for name, _, n, ns in RUNS
    ]
    head = "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name"
    before = [
        "Generating SQLite file step.sqlite from step.nsys-rep",
        "Processing [step.sqlite] with [cuda_gpu_kern_sum.py]... ",
    ]
    return "\n".join([*before, "", head, *rows, ""])  # fmt: skip


def nvtx_kern_sum() -> str:
    """Nsight Systems 2025.3, ``--report nvtx_kern_sum --timeunit usec``."""
    rows = [
        f":{scope or 'step'},PushPop,7,7,{n * STEPS},{n * STEPS},{ns * n * STEPS / 1e3},1.0,1.0,1.0,1.0,0.1,"
        f"{quoted(name)}"
        for name, scope, n, ns in RUNS
    ]  # fmt: skip
    head = (
        "NVTX Range,Style,PID,TID,NVTX Inst,Kern Inst,Total Time (us),Avg (us),Med (us),Min (us),Max (us),StdDev (us),"
        "Kernel Name"
    )
    return "\n".join([head, *rows])


def proj_sum() -> str:
    """Nsight Systems 2025.3, ``--report nvtx_gpu_proj_sum``: ranges lie in each other, the innermost have no child."""
    scopes: dict[str, tuple[int, int]] = {}
    for _, scope, n, ns in RUNS:
        if scope:
            ran, total = scopes.get(scope, (0, 0))
            scopes[scope] = (max(ran, n), total + n * ns)
    row = ":{},PushPop,{},{},{},1.0,1.0,1,1,0.1,{},1.0,2.0,{}"
    rows = [row.format(scope, ns * STEPS, ns * STEPS, n * STEPS, n * STEPS, 0) for scope, (n, ns) in scopes.items()]
    whole = row.format("model.forward", sum(ns for _, ns in scopes.values()) * STEPS, 1, STEPS, 900, 33)
    head = (
        "Range,Style,Total Proj Time (ns),Total Range Time (ns),Range Instances,Proj Avg (ns),Proj Med (ns),"
        "Proj Min (ns),Proj Max (ns),Proj StdDev (ns),Total GPU Ops,Avg GPU Ops,Avg Range Lvl,Avg Num Child"
    )
    return "\n".join([head, whole, *rows])


def launches() -> list[tuple[int, str, int]]:
    return [
        (index, name, ns)
        for index, (name, ns) in enumerate((name, ns) for name, _, n, ns in RUNS for _ in range(n * STEPS))
    ]


def ncu_details() -> str:
    """Nsight Compute 2025.2, ``ncu --csv --page details``: a row per metric, thousands with commas."""
    head = (
        '"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size",'
        '"Device","CC","Section Name","Metric Name","Metric Unit","Metric Value",'
        '"Rule Name","Rule Type","Rule Description"'
    )
    lead = '"{}","7","python3.11","127.0.0.1","{}","1","7","(128, 1, 1)","(64, 1, 1)","0","9.0"'
    rows = []
    for index, name, ns in launches():
        start = lead.format(index, name)
        rows += [
            f'{start},"GPU Speed Of Light Throughput","DRAM Frequency","Ghz","2.60","","",""',
            f'{start},"GPU Speed Of Light Throughput","Duration","us","{ns / 1e3:,.2f}","","",""',
            f'{start},"Command line profiler metrics","dram__bytes_read.sum","Kbyte","{ns * 2.5:,.2f}","","",""',
            f'{start},"Command line profiler metrics","dram__bytes_write.sum","byte","1,000","","",""',
        ]
    return "\n".join(["==PROF== Connected to process 7 (/usr/bin/python3.11)", *[head, *rows]])


def ncu_raw() -> str:
    """Nsight Compute 2025.2, ``ncu --csv --page raw``: a row of units, then a row per launch."""
    rows = [f'"{index}","7","{name}","{ns}","{2_500 * ns}"' for index, name, ns in launches()]
    head = '"ID","Process ID","Kernel Name","gpu__time_duration.sum","dram__bytes_read.sum"'
    return "\n".join([head, '"","","","ns","byte"', *rows])


def rocprof_trace() -> str:
    """ROCprofiler-SDK 1.0 (ROCm 7.0), ``rocprofv3 --kernel-trace --output-format csv``."""
    head = (
        '"Kind","Agent_Id","Queue_Id","Stream_Id","Thread_Id","Dispatch_Id","Kernel_Id","Kernel_Name","Correlation_Id",'
        '"Start_Timestamp","End_Timestamp","LDS_Block_Size","Scratch_Size","VGPR_Count","Accum_VGPR_Count","SGPR_Count",'
        '"Workgroup_Size_X","Workgroup_Size_Y","Workgroup_Size_Z","Grid_Size_X","Grid_Size_Y","Grid_Size_Z"'
    )
    now, rows = 4_000_000, []
    for index, name, ns in launches():
        rows.append(
            f'"KERNEL_DISPATCH","Agent 4",1,0,7,{index},9,"{name}",{index},{now},{now + ns},0,0,8,0,16,64,1,1,64,1,1'
        )
        now += ns + 500
    return "\n".join([head, *rows])


def rocprof_stats() -> str:
    """ROCprofiler-SDK 1.0, ``rocprofv3 --kernel-trace --stats --output-format csv``."""
    rows = [f'"{name}",{n * STEPS},{ns * n * STEPS},{ns}.000000,1.0,{ns},{ns},0.0' for name, _, n, ns in RUNS]
    return "\n".join(['"Name","Calls","TotalDurationNs","AverageNs","Percentage","MinNs","MaxNs","StdDev"', *rows])


def chrome_trace() -> str:
    """torch 2.13, ``export_chrome_trace``: kernels, and the operators of the host that launched them."""
    events: list[dict[str, Any]] = [{"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "python"}}]
    for index, name, ns in launches():
        events.append(
            {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 7, "tid": 7, "ts": index * 9.0, "dur": 5.0}
        )
        events.append(
            {"ph": "X", "cat": "kernel", "name": name, "pid": 0, "tid": 7, "ts": index * 90.0, "dur": ns / 1e3}
        )
    return json.dumps({"schemaVersion": 1, "deviceProperties": [], "traceEvents": events})


def printed_table() -> str:
    """torch 2.13, ``key_averages().table()`` of a run on a GPU: operators, and below them the kernels they launched."""
    columns = ("Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "Self CUDA", "Self CUDA %",
               "CUDA total", "CUDA time avg", "# of Calls")  # fmt: skip
    widths = (55, *[12] * 10)
    rule = "  ".join("-" * width for width in widths)
    rows: list[Sequence[str]] = [columns]
    for name, own, ran in (("aten::mm", "1.000ms", 200), ("ProfilerStep*", "0.000us", 2)):
        rows.append((name, "1%", own, "1%", own, "1.000us", "9.000ms", "50%", "9.000ms", "1.000us", str(ran)))
    for name, _, n, ns in RUNS:
        short = name if len(name) < 55 else f"{name[:52]}..."
        total = f"{ns * n * STEPS / 1e3:.3f}us" if ns * n * STEPS < 1e6 else f"{ns * n * STEPS / 1e6:.3f}ms"
        rows.append(
            (short, "0.00%", "0.000us", "0.00%", "0.000us", "0.000us", total, "1%", total, "1us", str(n * STEPS))
        )
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(
        [rule, lines[0], rule, *lines[1:], rule, "Self CPU time total: 9.000ms", "Self CUDA time total: 9ms"]
    )


WRITERS: dict[str, Callable[[], str]] = {
    "kern_sum.csv": kern_sum,
    "nvtx_kern_sum.csv": nvtx_kern_sum,
    "proj_sum.csv": proj_sum,
    "details.csv": ncu_details,
    "raw.csv": ncu_raw,
    "trace.csv": rocprof_trace,
    "stats.csv": rocprof_stats,
    "trace.json": chrome_trace,
    "table.txt": printed_table,
}
WHOLE_S = sum(n * ns for _, _, n, ns in RUNS) * 1e-9


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    path.write_text(WRITERS[request.param]())
    return path


def test_nine_tenths_of_every_report_are_joined(written: Path) -> None:
    found = json.loads(answer("validate", *DECODE, "--measurements", str(written), "--json"))
    (case,) = found["cases"]
    profiled = case["profiled"]
    assert profiled["steps"] == STEPS
    assert profiled["joined"] >= 0.9
    scoped = written.name == "proj_sum.csv"  # in no range of its own
    assert profiled["kernels_s"] == pytest.approx(WHOLE_S - scoped * 4.5e-6, rel=1e-3)
    joined = sum(op["measured_s"] or 0.0 for op in case["operators"])
    assert joined + sum(case["unpredicted_s"].values()) == pytest.approx(profiled["kernels_s"])
    assert profiled["engine"].startswith("transformers" if scoped else "vLLM")
    assert profiled["told_by"] == ("usual" if scoped else "kernels")


def test_a_packed_report_is_the_report(tmp_path: Path) -> None:
    plain, packed = tmp_path / "trace.json", tmp_path / "step.pt.trace.json.gz"
    plain.write_text(chrome_trace())
    packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    one, other = read_profile(plain), read_profile(packed)
    assert one is not None
    assert other is not None
    assert one.kernels == other.kernels


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        (gzip.compress(b"{}" * 99, mtime=0)[:-9], "no whole file of gzip: "),
        (b"\x1f\x8b\x08\x00junk", "no whole file of gzip: "),
        (gzip.compress(b"\xff\xfe", mtime=0), "not UTF-8 text when unpacked"),
        (gzip.compress(b'{"traceEvents": null}', mtime=0), "traceEvents is nothing, expected a list of events"),
        (b'{"traceEvents": {}}', "traceEvents is an empty mapping, expected a list of events"),
        (b'{"traceEvents": [1]}', "no trace of torch's profiler"),
    ],
)
def test_what_is_no_packed_report_is_refused_in_a_line(whole: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(whole)
    with pytest.raises(RooflineError, match=re.escape(words)) as refused:
        read_profile(path)
    assert "\n" not in str(refused.value)


def test_every_predicted_operator_is_in_one_row(written: Path) -> None:
    profile = read_profile(written)
    assert profile is not None
    operators = predict("llama-3.1-8b", "h100", batch=8, context=2048).phases[Phase.DECODE].operators
    joined = join_kernels(profile, operators, read_rules())
    named = [name for share in joined.shares for name in share.operators]
    assert len(named) == len(set(named))
    cut_short = {"sampling"} if written.name == "table.txt" else set()  # its table cuts names to 55 characters
    assert {op.name for op in operators} - set(named) == {"host", *cut_short}  # what no kernel does


def test_attention_and_matmuls_by_hand(tmp_path: Path) -> None:
    """Attention with the kernels that combine its splits; matmuls, which their names do not tell apart, together."""
    path = tmp_path / "a.csv"
    path.write_text(kern_sum())
    text = answer("validate", *DECODE, "--measurements", str(path))
    attention, matmuls = 32 * (24_000 + 3_100), 32 * (21_000 + 14_500 + 82_000 + 2_900 + 41_000) + 370_000
    rows = {line.split("  ")[0]: line for line in text.splitlines() if "bound" not in line}
    assert f"{attention / 1e3:.0f} us" in rows["attention"]
    assert f"{matmuls / 1e6:.3g} ms" in rows["qkv_proj + out_proj + gate_up + 2 more"]
    assert "measured, not predicted: void at::native::(anonymous namespace)::memset_probe 4.50 us" in text
    assert "the mean of 2; 100% of their time is joined to operators" in text
    assert "predicted under vLLM 0.18.0 (2026-03), as names of kernels tell" in text


def test_ranges_tell_matmuls_apart_and_counters_are_read(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text(nvtx_kern_sum())
    (tmp_path / "d.csv").write_text(ncu_details())
    scoped, counted = (
        json.loads(answer("validate", *DECODE, "--measurements", str(tmp_path / name), "--json"))["cases"][0]
        for name in ("n.csv", "d.csv")
    )
    times = {op["name"]: op["measured_s"] for op in scoped["operators"]}
    assert times["down"] == pytest.approx(32 * 43_900e-9)
    assert times["gate_up"] == pytest.approx(32 * 82_000e-9)
    moved = {op["name"]: op["dram_bytes"] for op in counted["operators"] if op["name"] != "host"}
    assert moved["attention"] == pytest.approx(2500 * 32 * (24_000 + 3_100) + 64 * 1000)


def test_the_engine_that_is_asked_for_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(kern_sum())
    found = json.loads(answer("validate", *DECODE, "--measurements", str(path), "--engine", "sglang", "--json"))
    assert found["cases"][0]["profiled"]["told_by"] == "asked"
    assert found["cases"][0]["profiled"]["engine"].startswith("SGLang")


RULES = """
sources: {own: {title: mine, ref: here}}
rules: [{pattern: memset_probe, operators: [sampling], source: own}]
"""


def test_rules_of_ones_own_come_first(tmp_path: Path) -> None:
    path, rules = tmp_path / "a.csv", tmp_path / "rules.yaml"
    path.write_text(kern_sum())
    rules.write_text(RULES)
    found = json.loads(answer("validate", *DECODE, "--measurements", str(path), "--kernel-rules", str(rules), "--json"))
    assert found["cases"][0]["unpredicted_s"] == {}
    assert found["cases"][0]["profiled"]["joined"] == 1


def test_steps_are_told_or_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = kern_sum().splitlines()
    path.write_text("\n".join(line.replace(",64,24000", ",63,24000") for line in lines))
    assert "say it with --profiled-steps" in refusal(2, "validate", *DECODE, "--measurements", str(path))
    found = json.loads(answer("validate", *DECODE, "--measurements", str(path), "--profiled-steps", "2", "--json"))
    assert found["cases"][0]["profiled"]["steps"] == 2


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("kern_sum.csv", ("1536000", "many"), 'Total Time (ns): "many"'),
        ("kern_sum.csv", (",64,24000", ",64,64,24000"), "10 cells, expected 9"),
        ("nvtx_kern_sum.csv", ("Total Time (us)", "Total Time (days)"), "is missing; expected operator"),
        ("details.csv", ('"us"', '"fortnight"'), 'unit "fortnight", expected one of ns'),
        ("raw.csv", ('"ns"', '""'), 'unit ""'),
        ("trace.json", ('"dur": 3.0', '"dur": "3"'), 'a time of "3", expected microseconds'),
        ("trace.json", ('"cat": "kernel"', '"cat": "gone"'), None),
        ("table.txt", ("us ", "uu "), "expected a time such as 1.234ms"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_line(
    name: str, change: tuple[str, str], words: str | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    whole = WRITERS[name]()
    assert change[0] in whole
    path.write_text(whole.replace(*change))
    if words is None:  # the host's operators alone are left, none of which attends
        assert "cannot be told" in refusal(2, "validate", *DECODE, "--measurements", str(path))
    else:
        assert words in refusal(3, "validate", *DECODE, "--measurements", str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "rules: [{pattern: '(', operators: [a], source: s}]\nsources: {s: {title: t, ref: r}}",
            "no regular expression",
        ),
        ("rules: [{operators: [a], source: s}]\nsources: {s: {title: t, ref: r}}", "expected either pattern or scope"),
        ("rules: [{pattern: a, operators: [a], source: x}]\nsources: {s: {title: t, ref: r}}", "source x: not among"),
        ("rules: [{patern: a, operators: [a], source: s}]\nsources: {s: {title: t, ref: r}}", "did you mean pattern"),
        ("- a", "expected a mapping"),
    ],
)
def test_rules_that_are_none(text: str, words: str, tmp_path: Path) -> None:
    rules, path = tmp_path / "rules.yaml", tmp_path / "a.csv"
    rules.write_text(text)
    path.write_text(kern_sum())
    assert words in refusal(3, "validate", *DECODE, "--measurements", str(path), "--kernel-rules", str(rules))


def test_flags_that_do_not_go_together(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(kern_sum())
    two = ("validate", "llama-3.1-8b", "--hardware", "h100", "--measurements", str(path))
    assert "give --phase" in refusal(2, *two)
    assert "expected 1 or more" in refusal(2, *two, "--profiled-steps", "0")
    assert "go with --measurements" in refusal(2, "validate", *DECODE, "--profiled-steps", "3")


def test_rules_shipped_name_operators_that_exist() -> None:
    known = {"collective", "quantize"}
    for name in ("llama-3.1-8b", "qwen3-next-80b-a3b", "deepseek-v2-lite", "mamba2-130m", "gpt2"):
        for engine in ("vllm", "transformers"):
            for phase in predict(name, "h100", engine=engine, dtype="bf16").phases.values():
                for op in phase.operators:
                    known |= {op.name, op.name.rpartition(".")[2], op.kind}
    for rule in read_rules().rules:
        assert set(rule.operators) & known, rule.operators
    assert SHIPPED.is_file()


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_never_end_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(WRITERS)))
    text = WRITERS[name]()[:4000]
    cut = data.draw(st.integers(0, len(text)))
    put = data.draw(st.sampled_from(["", ",", '"', "\n", "1e9999", "-1", "\x00", "]", "null", "ns"]))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_text(text[:cut] + put + text[cut + data.draw(st.integers(0, 40)) :])
    with contextlib.suppress(RooflineError):
        profile = read_profile(path)
        if profile is not None:
            operators = predict("gpt2", "h100", phase="decode").phases[Phase.DECODE].operators
            joined = join_kernels(profile, operators, read_rules(), 1)
            assert 0 <= joined.joined <= 1


def test_an_operator_s_own_time_leaves_out_what_it_calls(tmp_path: Path) -> None:
    """linear 100 us calls addmm 80 us, which calls copy_ 10 us; another thread runs beside them."""
    spans = [("linear", 0, 100, 1), ("addmm", 10, 80, 1), ("copy_", 20, 10, 1), ("mul", 5, 50, 2)]
    events = [
        {"ph": "X", "cat": "cpu_op", "name": f"aten::{name}", "pid": 1, "tid": thread, "ts": start, "dur": length}
        for name, start, length, thread in spans
    ]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"traceEvents": events}))
    profile = read_profile(path)
    assert profile is not None
    found = {kernel.name: round(kernel.seconds * 1e6) for kernel in profile.kernels}
    assert found == {"addmm": 70, "mul": 50, "linear": 20, "copy_": 10}


def test_torch_s_profiler_on_this_processor(tmp_path: Path) -> None:
    """A small GPT-2 under the real profiler: the trace and the printed table say the same, nearly all of it joined."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    sizes = {"n_layer": 2, "n_embd": 256, "n_head": 4, "vocab_size": 500, "bos_token_id": 0, "eos_token_id": 0}
    config = transformers.GPT2Config(**sizes)
    module = transformers.GPT2LMHeadModel(config).eval()
    (tmp_path / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["GPT2LMHeadModel"]}))
    tokens = torch.randint(0, 500, (2, 128))
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stderr(nothing), torch.no_grad():
        module(tokens, logits_to_keep=1)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(3):
                module(tokens, logits_to_keep=1)
    trace, table = tmp_path / "trace.json", tmp_path / "table.txt"
    profile.export_chrome_trace(str(trace))
    table.write_text(profile.key_averages().table(row_limit=-1))
    asked = ("--hardware", "epyc-9654", "--batch", "2", "--prompt", "128", "--phase", "prefill", "--dtype", "fp32")
    found = [
        json.loads(answer("validate", str(tmp_path), *asked, "--measurements", str(path), "--json"))["cases"][0]
        for path in (trace, table)
    ]
    for case in found:
        assert case["profiled"]["steps"] == 3
        assert case["profiled"]["joined"] > 0.9
    one, two = (case["profiled"]["kernels_s"] for case in found)
    assert one == pytest.approx(two, rel=0.1)


def test_a_profile_is_the_sum_of_its_runs(tmp_path: Path) -> None:
    runs = [Kernel("a", 1, 2.0), Kernel("b", 1, 1.0), Kernel("a", 2, 3.0), Kernel("idle", 4, 0.0)]
    profile = Profile.of(tmp_path, "tool", runs)
    assert [(kernel.name, kernel.ran, kernel.seconds) for kernel in profile.kernels] == [("a", 3, 5.0), ("b", 1, 1.0)]
    assert profile.seconds == 6.0
