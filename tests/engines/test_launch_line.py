"""Launch lines: what each flag of an engine's list is, read from a command and written as one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline.engines.launch_flags import LaunchFlags, Meaning, launch_flags, launched_engines
from roofline.engines.launch_line import LaunchLine, read_launch_line
from roofline.engines.library import load_engine
from roofline.engines.said import Said
from roofline.errors import UsageError

ENGINES = launched_engines()


def _values(meaning: Meaning, known: LaunchFlags) -> st.SearchStrategy[Said]:
    flag = known.by_meaning[meaning]
    if flag.as_null:
        return st.just(True)
    if flag.switch:
        return st.booleans() if known.negation or flag not in known.flags.values() else st.just(True)
    if flag.among:
        return st.sampled_from(flag.among)
    if flag.words:
        return st.sampled_from(sorted(set(flag.words.values())))
    return st.integers(1, 100).map(lambda n: n / 100) if meaning == "share" else st.integers(1, 2**20)


@st.composite
def lines(draw: st.DrawFn) -> LaunchLine:
    """Any line that an engine's modelled flags can say."""
    known = launch_flags(draw(st.sampled_from(ENGINES)))
    means = known.meanings
    kept = draw(st.sets(st.sampled_from(means)))
    if "eager" in kept:
        kept -= {"padded"}  # one block of options, which is null
    model = draw(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1).filter(
        lambda text: not text.startswith("-")))  # fmt: skip
    return LaunchLine(known.name, model, tuple((each, draw(_values(each, known))) for each in means if each in kept))


@given(lines())
def test_a_line_that_is_written_is_read_as_it_was(line: LaunchLine) -> None:
    assert read_launch_line(str(line)) == line


@pytest.mark.parametrize("engine", ENGINES)
def test_the_list_is_that_of_the_version_that_the_engine_states_or_names_its_commit(engine: str) -> None:
    known = launch_flags(engine)
    name, _, commit = known.version.partition(" at ")
    assert (commit and commit in known.ref) or name == load_engine(engine).version


@pytest.mark.parametrize("engine", ENGINES)
def test_each_flag_of_the_list_is_read_or_refused_by_name(engine: str) -> None:
    known = launch_flags(engine)
    start = f"{known.programs[-1]} {' '.join(known.model[:1])} m"
    bare = read_launch_line(start)
    for others, refused in ((known.inert, False), (known.refused, True)):
        for flags, behind in ((others.values, " 1"), (others.switches, ""), (others.lists, " 1 2")):
            for flag in flags:
                if refused:
                    with pytest.raises(UsageError, match=f"from: {flag} of {engine}"):
                        read_launch_line(f"{start} {flag}{behind}")
                else:
                    assert read_launch_line(f"{start} {flag}{behind}") == bare
    for flag, meant in known.spellings.items():
        what = known.flags[meant]
        value = "" if what.switch else f" {next(iter(what.words), '1')}"
        assert [each for each, _ in read_launch_line(f"{start} {flag}{value}").said] == [what.means]


@pytest.mark.parametrize(
    "line",
    [
        "vllm serve m -tp 8 -dp 2 --max-num-seqs 64",
        "vllm serve m --tensor-parallel-size=8 --data_parallel_size 2 --max_num_seqs=64",
        "vllm serve --model 'm' -tp=8 -dp=2 --max-num-seqs 64 --port 8000 --no-enable-prefix-caching",
        "CUDA_VISIBLE_DEVICES=0,1 HF_HOME='/a b' vllm serve m \\\n  -tp 8 \\\n  -dp 2 --max-num-seqs 64",
        "env HF_HOME=/hub /usr/bin/python3.12 -m vllm.entrypoints.openai.api_server --model m -tp 8 -dp 2 "
        "--max-num-seqs 64 --allowed-origins '[\"*\"]' --trust-remote-code",
    ],
)
def test_spellings_of_one_line(line: str) -> None:
    assert read_launch_line(line) == LaunchLine("vllm", "m", (("tp", 8), ("dp", 2), ("sequences", 64)))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("vllm serve m --max-model-len 8k", "length=8000"),
        ("vllm serve m --max-model-len 8K", "length=8192"),
        ("vllm serve m --max-model-len 25.6k", "length=25600"),
        ("sglang serve m --tp 4 --chunked-prefill-size -1", "tp=4, chunk=-1"),
        ("vllm serve m --kv-cache-dtype fp8_e4m3 --no-enforce-eager", "cache=fp8, eager=False"),
    ],
)
def test_values(line: str, said: str) -> None:
    assert {f"{name}={value}" for name, value in read_launch_line(line).said} == set(said.split(", "))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "starts no engine that is read"),
        ("llama-server -m x.gguf", "starts no engine that is read; expected python -m sglang.launch_server"),
        ("vllm serve 'm", "no closing quotation"),
        ("vllm serve", "no model; expected vllm serve MODEL"),
        ("vllm serve m n", 'two models, "m" and "n"'),
        ("vllm serve m -tp", "-tp has no value"),
        ("vllm serve m -tp --port 80", "-tp has no value"),
        ("vllm serve m -tp 0", "--tensor-parallel-size 0: expected a whole number"),
        ("vllm serve m -tp two", "--tensor-parallel-size two: expected a whole number"),
        ("vllm serve m -tp 2 --tensor-parallel-size 2", "--tensor-parallel-size stands twice"),
        ("vllm serve m --gpu-memory-utilization 90", "90: expected a share"),
        ("vllm serve m --enforce-eager=1", "--enforce-eager takes no value"),
        ("vllm serve m --quantization awq", "--quantization awq: not modelled; expected fp8"),
        ("vllm serve m --tensor-paralel-size 2", "has no flag --tensor-paralel-size; did you mean --tensor-parallel"),
        ("VLLM_USE_V1=0 vllm serve m", "the environment variable VLLM_USE_V1"),
        ("sglang serve m --max-model-len 8", "has no flag --max-model-len"),
        ("sglang serve m --context-length 8k", "--context-length 8k: expected a whole number"),
    ],
)
def test_what_is_not_read_is_refused_in_one_line(line: str, words: str) -> None:
    with pytest.raises(UsageError) as failure:
        read_launch_line(line)
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


OPTIONS = '{"enable_attention_dp": true, "kv_cache_config": {"dtype": "fp8", "enable_block_reuse": false}}'
SAID = (("tp", 8), ("share", 0.8), ("dp_attention", True), ("cache", "fp8"))


def test_options_stand_in_the_line_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "extra.yaml"
    file.write_text(OPTIONS)
    start = "trtllm-serve m --tp_size 8 --kv_cache_free_gpu_memory_fraction 0.8 --backend pytorch "
    for flag in ("--config", "--extra_llm_api_options"):
        for line in (f"{start} {flag} {file}", f"{start} {flag} <(echo '{OPTIONS}') --port 80"):
            found = read_launch_line(line)
            assert found.said == (*SAID[:1], ("backend", "pytorch"), *SAID[1:])
    assert str(LaunchLine("tensorrt-llm", "m", SAID)) == (
        'trtllm-serve m --tensor_parallel_size 8 --config <(echo \'{"enable_attention_dp": true, '
        '"kv_cache_config": {"free_gpu_memory_fraction": 0.8, "dtype": "fp8"}}\')'
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            "{speculative_config: {decoding_type: MTP}}",
            "speculative_config.decoding_type in the file of options is not",
        ),
        ("{enable_attention_dp: 1}", "enable_attention_dp 1: expected true or false"),
        ("{max_batch_size: [1]}", "max_batch_size"),
        ("{kv_cache_config: {dtype: nvfp4}}", "kv_cache_config.dtype nvfp4: not modelled; expected auto, fp8"),
        ("[1]", "holds list, expected a mapping"),
        ("{a: 1} x", "expected one word and a parenthesis"),
    ],
)
def test_options_that_are_not_read_are_refused_in_one_line(options: str, words: str) -> None:
    quoted = shlex.quote(options) if not options.endswith("x") else options
    with pytest.raises(UsageError) as failure:
        read_launch_line(f"trtllm-serve m --config <(echo {quoted})")
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_value_without_a_word_is_not_written() -> None:
    with pytest.raises(UsageError, match="--kv-cache-dtype has no word for int4; it takes auto, fp8"):
        str(LaunchLine("vllm", "m", (("cache", "int4"),)))


def test_an_engine_without_a_list_is_refused() -> None:
    with pytest.raises(
        UsageError, match='launch "transformers": no argument list of that engine; known: sglang, tensorrt-llm'
    ):
        launch_flags("transformers")
