"""``validate`` against measurements from files: verdicts, exit codes, refusals. Nothing here is timed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from shell import answer, refusal, roofline

from roofline.prediction.figures import Figures
from roofline.prediction.predict import Prediction, predict
from roofline.program.phases import Phase
from roofline.reports.validation import validation_text
from roofline.timing.timing import Timing
from roofline.validation.comparison import CaseComparison, OperatorComparison, Verdict, compare
from roofline.validation.environment import SelfTest
from roofline.validation.measurements import read_measurements
from roofline.validation.modules import out_of_memory
from roofline.validation.profiling import Profile
from roofline.validation.runner import Validation, compare_file, finished, write_record
from roofline.validation.scores import Pair, Score
from roofline.validation.session import digest_of

NEEDS_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")


@pytest.fixture(autouse=True)
def _no_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring starts the command anew with other settings, which would end the tests."""
    monkeypatch.setenv("ROOFLINE_RESTARTED", "1")


DECODE = ("llama-3.2-1b", "--hardware", "xeon", "--context", "500", "--dtype", "fp32")


def prediction(**changes: Any) -> Prediction:
    return predict("llama-3.2-1b", "xeon", context=500, dtype="fp32", engine="transformers", **changes)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Measurements that are the prediction of the right spec, a few percent off."""
    path = tmp_path / "measured.csv"
    operators = prediction().phases["decode"].operators
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["operator", "time_s", "dram_bytes"])
        for index, op in enumerate(operators):
            rows.writerow([op.name, op.figures.time_s * (1.03 if index % 2 else 0.97), 1.1 * float(op.figures.bytes)])
    return path


# Verdicts and exit codes


def test_the_right_spec_passes(table: Path) -> None:
    text = answer("validate", *DECODE, "--measurements", str(table), "--max-median-ape", "5")
    assert "median APE" in text
    assert "look at" not in text


def test_a_halved_bandwidth_fails_and_points_at_the_memory_bound_operators(table: Path) -> None:
    memory = ("--set", "hardware.memory.dram.bandwidth=153.6 GB/s")
    code, out, err = roofline("validate", *DECODE, "--measurements", str(table), "--max-median-ape", "20", *memory)
    assert code == 6
    assert "look at    memory-bound operators are predicted" in out
    assert "too slow" in out
    assert "bandwidth" in out
    assert "--max-median-ape 20" in err


def test_counted_bytes_stand_beside_predicted_ones(table: Path) -> None:
    text = answer("validate", *DECODE, "--measurements", str(table))
    header = next(line for line in text.splitlines() if line.startswith("operator  "))
    assert header.split()[-3:] == ["bytes", "DRAM", "bytes"]


def test_json_has_environment_free_cases_and_the_digest(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    printed = answer("validate", *DECODE, "--measurements", str(table), "--json", "-o", str(out))
    result = json.loads(out.read_text())
    assert json.loads(printed) == result
    assert result["cases"][0]["prediction_sha256"] == digest_of(prediction())
    assert "/" not in result["command"].replace("roofline", "")
    assert result["verdict"]["operators"]["median_ape"] == pytest.approx(0.03, abs=0.002)


def test_a_result_is_read_as_measurements_again(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    first = answer("validate", *DECODE, "--measurements", str(table), "-o", str(out))
    again = answer("validate", *DECODE, "--measurements", str(out))
    assert first.splitlines()[1] == again.splitlines()[1]


def test_a_device_that_is_not_there_is_exit_code_7() -> None:
    torch = pytest.importorskip("torch")
    if torch.backends.mps.is_available():
        pytest.skip("this machine has one")
    assert "torch" in refusal(7, "validate", *DECODE, "--device", "mps")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "--hardware is missing"),
        (("--hardware", "xeon", "-o", "a.csv"), "ends in .json"),
        (("--hardware", "xeon", "--resume"), "--resume needs -o"),
        (("--hardware", "xeon", "--module", "a.py:f", "--measurements", "b.csv"), "does not go with"),
        (("--hardware", "xeon", "--max-median-ape", "0"), "above 0"),
        (("--hardware", "xeon", "--budget", "soon"), "--budget"),
        (("--hardware", "xeon", "--budget", "10ms"), "a second or more"),
        (("--hardware", "xeon", "--threads", "0"), "expected 1 or more"),
        pytest.param(("--hardware", "xeon", "--device", "abacus"), "cuda, cpu or mps", marks=NEEDS_TORCH),
        pytest.param(
            ("--hardware", "xeon", "--phase", "encode", "--module", "none.py:build"),
            "FILE.py:FUNCTION",
            marks=NEEDS_TORCH,
        ),
    ],
    ids=str,
)
def test_flags_that_are_wrong(flags: tuple[str, ...], words: str) -> None:
    assert words in refusal(2, "validate", "bert-base", *flags)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "column operator is missing"),
        ("operator,time_s\n", "no measured time"),
        ("operator,seconds\nq_proj,1\n", "column time_s is missing"),
        ("operator,time_s,colour\nq_proj,1,red\n", 'column "colour" is not known'),
        ("operator,time_s\nq_prj,1\n", "did you mean q_proj"),
        ("operator,time_s\nq_proj,fast\n", "expected a number above 0"),
        ("operator,time_s\nq_proj,-1\n", "expected a number above 0"),
        ("operator,time_s\nq_proj,nan\n", "expected a number above 0"),
        ("operator,time_s\nq_proj,1\nq_proj,1\n", "stands twice"),
        ("operator,time_s,phase\nq_proj,1,lunch\n", "expected encode, prefill or decode"),
        ("operator,time_s,phase\nq_proj,1,prefill\n", "measures no phase"),
        ("operator,time_s,dram_bytes\nq_proj,1,-5\n", "dram_bytes"),
    ],
    ids=str,
)
def test_tables_that_are_wrong(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(content)
    found = refusal(3, "validate", *DECODE, "--measurements", str(path))
    assert words in found
    assert "m.csv" in found


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cases": [1]}', '{"cases": [{"phase": Phase.DECODE}]}', "{"])
def test_json_that_is_no_result(content: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    assert "m.json" in refusal(3, "validate", *DECODE, "--measurements", str(path))


def test_a_table_without_a_phase_needs_a_prediction_of_one(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("operator,time_s\nq_proj,1\n")
    assert "add a column phase" in refusal(3, "validate", *DECODE[:3], "--measurements", str(path))


# Comparison by hand


def figures(time_s: float, bound_s: float = 0.5, mfu: float = 0.2, mbu: float = 0.1) -> Figures:
    timing = Timing(time_s, bound_s, 0.8 * time_s, 1.2 * time_s, compute_s=time_s)
    return Figures(timing, 1.0, 0.0, 1.0, mfu, mbu)


def operator(name: str, predicted: float, measured: float | None, bound: float = 0.5) -> OperatorComparison:
    return OperatorComparison(name, "matmul", 1, figures(predicted, bound), measured)


def case(*operators: OperatorComparison, **rest: Any) -> CaseComparison:
    whole = figures(sum(op.predicted.time_s for op in operators))
    return CaseComparison("toy", Phase.ENCODE, 1, 8, whole, operators, "transformers, eager", **rest)


def test_what_is_left_of_a_step_is_unattributed() -> None:
    found = case(operator("a", 1.0, 1.0), operator("b", 1.0, 2.0), measured_s=4.0, others_s={"arange": 0.5})
    assert found.unattributed == pytest.approx(1 - 3.5 / 4)
    assert case(operator("a", 1.0, None), measured_s=4.0).unattributed is None


def test_what_kernels_take_longer_in_the_step_is_told_where_it_matters() -> None:
    profile = Profile(10.0, {"mm": 6.0, "cat": 2.0, "add": 0.5, "view": 0.5})
    found = case(operator("a", 1.0, 8.0), measured_s=9.0, profile=profile, alone_s={"mm": 6.1, "cat": 0.5, "add": 0.4})
    assert profile.between == pytest.approx(0.1)
    assert found.slower_in_step() == [("cat", 2.0, 0.5), ("view", 0.5, 0.0)]
    text = validation_text([found], Verdict.of([found]))
    assert "unattributed: 10.0% of the step passes between operators" in text
    assert "operators timed by themselves sum to 89% of the step" in text
    assert "cat: 2 s in the profiled step, 500 ms by itself" in text
    assert case(operator("a", 1.0, 8.0)).slower_in_step() == []


def test_without_a_step_the_operators_add_up_only_if_all_were_measured() -> None:
    assert case(operator("a", 1.0, 1.0), operator("b", 1.0, 2.0)).whole_s == 3.0
    assert case(operator("a", 1.0, 1.0), operator("b", 1.0, None)).whole_s is None


def test_operators_too_small_to_matter_are_told_and_not_counted() -> None:
    found = case(operator("a", 1.0, 1.0), operator("b", 1e-4, 3e-4), measured_s=1.0)
    assert [pair.measured_s for pair in found.pairs()] == [1.0]


@pytest.mark.parametrize(("bound", "regime"), [(0.5, "compute"), (0.01, "latency")])
def test_the_measured_regime(bound: float, regime: str) -> None:
    assert operator("a", 1.0, 1.0, bound).regime == regime
    assert replace(operator("a", 1.0, 1.0), predicted=figures(1.0, mfu=0.1, mbu=0.3)).regime == "memory"
    assert operator("a", 1.0, None).regime is None


def test_a_verdict_by_hand() -> None:
    cases = [case(operator("a", 1.1, 1.0), measured_s=1.0), case(operator("b", 1.5, 2.0), measured_s=2.0)]
    verdict = Verdict.of(cases)
    assert verdict.steps is not None
    assert verdict.steps.median == pytest.approx((0.1 + 0.25) / 2)
    assert verdict.coverage == pytest.approx(0.5)  # 1.0 in 0.88 to 1.32; 2.0 not in 1.2 to 1.8
    assert verdict.datasheet is not None
    assert verdict.datasheet.bias == pytest.approx((0.5 * 0.25) ** 0.5)
    assert verdict.agreement == 1.0


def test_scores_by_hand() -> None:
    score = Score.of([Pair(1.1, 1.0), Pair(1.8, 2.0), Pair(5.0, 4.0)])
    assert (score.n, round(score.median, 3), round(score.mean, 4), score.order) == (3, 0.1, 0.15, 1.0)
    assert Score.of([Pair(2.0, 1.0), Pair(1.0, 2.0)]).order == 0.0
    assert Score.of([Pair(1.0, 1.0)]).order == 1.0
    assert set(score.to_dict()) >= {"median_ape", "p90_ape", "mean_ape", "bias", "order", "within_10", "within_25"}


# Resume


def test_what_was_measured_is_kept_for_the_same_prediction_only(tmp_path: Path) -> None:
    one = prediction()
    measured = {op.name: 1.5 * op.figures.time_s for op in one.phases["decode"].operators}
    profile, alone = Profile(1.2, {"mm": 1.0}), {"mm": 0.9}
    done = compare(one, Phase.DECODE, 1, 500, measured, measured_s=1.0, steady_s=1.1, digest=digest_of(one),
                   flags=["noise: x"], samples=[(1.0, 0.001)], profile=profile, alone_s=alone)  # fmt: skip
    path = tmp_path / "r.json"
    write_record(Validation.of([done], None, "roofline validate").to_dict(), path)
    (kept,) = finished(path, one)
    assert kept.to_dict() == done.to_dict()
    assert finished(path, prediction(batch=2)) == []
    assert finished(tmp_path / "none.json", one) == []


def test_a_digest_is_of_all_that_was_predicted() -> None:
    assert digest_of(prediction()) == digest_of(prediction())
    assert (
        len({digest_of(prediction()), digest_of(prediction(batch=2)), digest_of(prediction(constants="datasheet"))})
        == 3
    )


def test_reading_keeps_the_step_apart(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("operator,time_s,phase\nstep,2,decode\nq_proj,1,decode\n")
    found = read_measurements(path, prediction())[Phase.DECODE]
    assert (found.step_s, dict(found.operators)) == (2.0, {"q_proj": 1.0})
    (only,) = compare_file(path, prediction())
    assert only.whole_s == 2.0


# Words


@pytest.mark.parametrize(
    ("test", "word"),
    [
        (SelfTest(True, 8e-3, 1e-4, 0.0), "OMP_WAIT_POLICY=PASSIVE"),
        (SelfTest(False, 1e-4, 1e-4, 0.3), "somebody shares the core"),
        (SelfTest(False, 1e-4, 1e-4, 0.02), "no stall"),
    ],
    ids=str,
)
def test_the_stall_test_in_words(test: SelfTest, word: str) -> None:
    assert word in test.words


def test_memory_that_is_full_is_known_by_all_its_names() -> None:
    assert out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
