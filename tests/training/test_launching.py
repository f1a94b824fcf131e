"""From a training step to a configuration and back: the same choice, memory and time; what is not known is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roofline.buying.training_costs import train_launched, train_to_launch
from roofline.errors import RooflineError
from roofline.training.launching.configurations import read_configuration
from roofline.training.launching.launching import configuration
from roofline.training.step import TrainingStep

ASKED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("torchtitan", "llama-3.1-8b", "8xh100", {"batch": 64, "sequence": 8192}),
    ("torchtitan", "llama-3.1-8b", "8xh100", {"batch": 64, "tp": 2, "recompute": "full", "engine": "transformers"}),
    ("torchtitan", "qwen3-0.6b", "4xh100", {"batch": 64, "sequence": 2048, "zero": 0, "dtype": "bf16-autocast"}),
    ("torchtitan", "qwen3-0.6b", "h100", {"batch": 16, "dtype": "bf16"}),
    ("torchtitan", "llama-3.1-8b", "8xh100", {"batch": 16, "sequence": 8192, "recompute": "selective-op", "tp": 1}),
    ("torchtitan", "qwen3-0.6b", "8xh100", {"batch": 16, "dtype": "fp8-fsdp", "tp": 1, "pp": 1, "cp": 1}),
    ("torchtitan", "qwen3-0.6b", "8xh100", {"batch": 16, "dtype": "fp8-fsdp-gather", "tp": 2, "pp": 1, "cp": 1}),
    ("torchtitan", "llama-3.1-70b", "64xh100",
     {"batch": 512, "pp": 4, "tp": 8, "schedule": "interleaved:4", "microbatch": 1, "recompute": "full"}),
    ("torchtitan", "qwen3-30b-a3b", "16xh200", {"batch": 64, "ep": 8, "tp": 1, "cp": 1, "recompute": "full"}),
    ("torchtitan", "deepseek-v2-lite", "16xh100", {"batch": 64, "ep": 8, "tp": 1, "cp": 1, "recompute": "full"}),
    ("megatron", "gpt2", "8xa100", {"batch": 64, "sequence": 1024, "dropout": True, "kernels": "materialised"}),
    ("megatron", "llama-3.1-70b", "64xh100", {"batch": 512, "pp": 4, "tp": 8, "sp": 8, "schedule": "interleaved:5"}),
    ("megatron", "llama-3.1-405b", "1024xh100", {"batch": 128, "pp": 16, "tp": 8, "sp": 8, "schedule": "interleaved:4",
                                                 "dp": 8, "microbatch": 1}),
    ("torchtitan", "llama-3.1-8b", "32xh100", {"batch": 64, "tp": 2, "cp": 1, "pp": 1, "replicate": 4}),
    ("megatron", "qwen3-8b", "8xh100", {"batch": 64, "cp": 1, "recompute": "every:2", "zero": 1}),
    ("megatron", "qwen3-8b", "32xh100", {"batch": 64, "tp": 2, "cp": 1, "pp": 1, "zero": 1, "replicate": 4}),
    ("megatron", "qwen3-8b", "8xh100", {"batch": 64, "tp": 2, "sp": 2, "pp": 1, "cp": 1, "dtype": "fp8-mixed"}),
    ("megatron", "llama-3.1-405b", "512xh100",
     {"batch": 512, "tp": 8, "sp": 8, "pp": 8, "cp": 1, "microbatch": 1, "recompute": "full", "zero": 1}),
    ("megatron", "qwen2.5-7b", "8xh100", {"batch": 64, "tp": 4, "pp": 1, "dtype": "fp16-mixed"}),
    ("megatron", "mixtral-8x7b", "64xh100", {"batch": 256, "ep": 8, "tp": 1, "optimizer": "sgd-momentum"}),
    ("megatron", "qwen3-30b-a3b", "64xh100", {"batch": 256, "ep": 8, "tp": 1, "cp": 1, "sequence": 2048}),
]  # fmt: skip


def _facts(step: TrainingStep) -> tuple[Any, ...]:
    memory = {name: stage.to_dict() for name, stage in step.memory.items()}
    q = step.question
    return step.choice, memory, q.batch, q.sequence, q.recipe, q.optimizer, q.schedule, q.dropout, q.request.engine.name


@pytest.mark.parametrize(("engine", "model", "hardware", "options"), ASKED, ids=lambda each: str(each)[:24])
def test_written_and_read_it_is_the_same(
    tmp_path: Path, engine: str, model: str, hardware: str, options: dict[str, Any]
) -> None:
    step = train_to_launch(model, hardware, engine, **options).step
    found = configuration(step, engine)
    text = str(found)
    if engine == "torchtitan":
        (tmp_path / "run.toml").write_text(text)
        text = str(tmp_path / "run.toml")
    assert read_configuration(text) == found
    read = train_launched(text, hardware).step
    assert _facts(read) == _facts(step)
    assert configuration(read, engine) == found
    assert read.timing.time_s == pytest.approx(step.timing.time_s, rel=1e-9)


TOML = """
[job]
dump_folder = "./outputs"
[model]
name = "llama3"
flavor = "8B"
[optimizer]
name = "AdamW"
lr = 3e-4
[training]
local_batch_size = 1
seq_len = 8192
max_norm = 1.0
steps = 1000
[parallelism]
data_parallel_replicate_degree = 1
tensor_parallel_degree = 1
[activation_checkpoint]
mode = {mode}
[compile]
enable = true
components = ["model", "loss"]
"""


def test_a_file_of_torchtitan_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "llama3_8b.toml"
    path.write_text(TOML.replace("{mode}", '"full"'))
    step = train_launched(str(path), "8xh100").step
    assert (step.question.batch, step.choice.microbatch, step.choice.sharding.zero) == (8, 1, 3)
    assert step.choice.policy.words == "full"
    assert step.question.recipe.name == "bf16-fsdp"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("", "filter_fqns: without output the head is narrow too"),
        ('filter_fqns = ["output", "attention.wq"]', "expected a list of one: output"),
        ('filter_fqns = ["output"]\nrecipe_name = "rowwise"', "recipe_name rowwise: not modelled; expected tensorwise"),
        ('filter_fqns = ["output"]\nrecipe_name = "tensorwise"\nenable_fsdp_float8_all_gather = true',
         "recipe_name does not go with enable_fsdp_float8_all_gather"),
    ],
)  # fmt: skip
def test_fp8_that_is_not_modelled_is_refused(tmp_path: Path, fields: str, text: str) -> None:
    path = tmp_path / "run.toml"
    toml = TOML.replace("{mode}", '"full"').replace(
        'flavor = "8B"', 'flavor = "8B"\nconverters = ["quantize.linear.float8"]'
    )
    path.write_text(f"{toml}\n[quantize.linear.float8]\n{fields}")
    with pytest.raises(RooflineError, match=text):
        train_launched(str(path), "8xh100")


def test_eager_layers_that_do_not_stop_early_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(TOML.replace("{mode}", '"full"').replace("enable = true", "enable = false"))
    with pytest.raises(RooflineError, match="early_stop is false where it is left out"):
        train_launched(str(path), "8xh100")


BERT = "--num-layers 24 --hidden-size 1024 --num-attention-heads 16 --vocab-size 50257 --max-position-embeddings 1024"
STEP = "--seq-length 1024 --micro-batch-size 4 --global-batch-size 32"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("--fp4-format e2m1", "from: --fp4-format is not modelled of megatron core 0.16, at 000c4ac"),
        ("--optimizer lamb", "from: --optimizer lamb: not modelled; expected adam, sgd, muon"),
        ("--attention-dropout 0.0", "--attention-dropout and --hidden-dropout: one of them alone is not modelled"),
        ("--swiglu", "of networks, GPT-2's kind is modelled"),
        ("--recompute-granularity full", "expected --recompute-method uniform and --recompute-num-layers"),
        ("--bf16 --fp16", "--bf16 and --fp16 stand side by side"),
        ("--tensor-model-parallel-size 3", "degrees of 3 devices do not divide 8"),
        ("--seq-length 2", "--seq-length stands twice"),
        ("oops", "stands behind no flag"),
        ("--kv-channels 128", "heads of GPT-2's kind have keys of their own"),
    ],
)
def test_arguments_that_are_not_known_are_refused_by_name(more: str, text: str) -> None:
    with pytest.raises(RooflineError, match=text):
        train_launched(f"{BERT} {STEP} {more}", "8xh100")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('mode = "selective"', "selective_ac_option: layers chosen one by one are not modelled; expected op"),
        ('mode = "odd"', "activation_checkpoint.mode odd: not modelled; expected none, full, selective"),
        ("early_stopping = true", "activation_checkpoint.early_stopping in the file of options is not modelled"),
        ("debug = true", "activation_checkpoint.mode is missing"),
        ('mode = "full"\n[training]', "no TOML"),
        ('mode = "full"\n[quantise]\nlinear = 1', "quantise.linear in the file of options is not modelled"),
    ],
)
def test_fields_that_are_not_known_are_refused_by_name(tmp_path: Path, field: str, text: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(TOML.replace("mode = {mode}", field))
    with pytest.raises(RooflineError, match=text):
        train_launched(str(path), "8xh100")


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ("", "first-pipeline-num-layers left out of 11 layers: expected 4"),
        (" --decoder-first-pipeline-num-layers 3", "num-layers 3 of 11 layers: expected 4"),
    ],
)
def test_other_ends_of_a_pipeline_are_refused(ends: str, text: str) -> None:
    sizes = BERT.replace("--num-layers 24", "--num-layers 11")
    with pytest.raises(RooflineError, match=text):
        train_launched(f"{sizes} {STEP} --pipeline-model-parallel-size 3{ends}", "12xh100")


@pytest.mark.parametrize(
    ("engine", "options", "text"),
    [
        ("torchtitan", {"optimizer": "lion"}, "no field says lion"),
        ("torchtitan", {"zero": 1, "dtype": "bf16-mixed"}, "no field says bf16-mixed"),
        ("megatron", {"zero": 3}, "of ZeRO 3 no flag is modelled"),
        ("megatron", {"lora": 8}, "no field says lora"),
        ("nemo", {}, "no argument list of that engine"),
        ("megatron", {"dtype": "fp8-fsdp"}, "no flag says fp8-fsdp"),
    ],
)
def test_what_no_configuration_says_is_refused(engine: str, options: dict[str, Any], text: str) -> None:
    alone: dict[str, Any] = {"batch": 64, "tp": 1, "pp": 1, "cp": 1}
    with pytest.raises(RooflineError, match=text):
        configuration(train_to_launch("qwen3-0.6b", "8xh100", engine, **alone, **options).step, engine)


def test_what_an_engine_has_not_is_refused_before_anything_is_searched() -> None:
    for engine, why in (("megatron", "has latent attention"), ("torchtitan", "is none of its models")):
        with pytest.raises(RooflineError, match=why):
            train_to_launch("deepseek-v2" if engine == "megatron" else "gpt2", "4096xh100", engine)


def test_the_network_of_arguments_is_called_by_its_sizes() -> None:
    assert train_launched(f"{BERT} {STEP}", "8xh100").model.name == "gpt2 of 24 layers of 1024"


def test_what_a_configuration_states_is_not_given_twice() -> None:
    with pytest.raises(RooflineError, match="tp does not go with a configuration"):
        train_launched(f"{BERT} {STEP}", "8xh100", tp=2)
