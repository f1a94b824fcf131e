"""What generation_config.json asks for that costs; decoders that classify or embed, which generate nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shell import answer, refusal
from small_llama import LLAMA

from roofline.errors import ConfigError, UsageError
from roofline.models.families import FAMILIES
from roofline.models.families.classifiers import SEQUENCE_CLASSES
from roofline.models.model import load_model
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.serving.scenario import read_question


def folder_of(path: Path, fields: dict[str, Any], generation: object) -> Path:
    (path / "config.json").write_text(json.dumps(fields))
    (path / "generation_config.json").write_text(generation if isinstance(generation, str) else json.dumps(generation))
    return path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_beams": 4, "temperature": 0.6, "top_p": 0.95, "do_sample": True}, "num_beams 4 is not counted"),
        ({"num_return_sequences": 2}, "num_return_sequences 2 is not counted: each prompt is as many sequences"),
        ({"use_cache": False}, "use_cache false is not counted: without a cache"),
        ({"guidance_scale": 1.5, "num_beams": 1}, "guidance_scale 1.5 is not counted: each sequence is two"),
        ({"cache_implementation": "quantized"}, "cache_implementation quantized is not counted: --kv-dtype says"),
        ({"num_beams": 2, "penalty_alpha": 0.6}, "sequence is as many of the batch; penalty_alpha 0.6"),
    ],
)  # fmt: skip
def test_what_costs_is_said_once(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    (warning,) = load_model(folder_of(tmp_path, LLAMA, settings)).warnings
    assert words in warning
    assert "temperature" not in warning


def test_what_costs_nothing_is_not_said(tmp_path: Path) -> None:
    settings = {"temperature": 0.6, "max_new_tokens": 4096, "num_beams": 1, "guidance_scale": None, "use_cache": True}
    assert load_model(folder_of(tmp_path, LLAMA, settings)).warnings == ()
    assert load_model({**LLAMA, "num_beams": 1}).warnings == ()


def test_the_file_beside_wins_over_the_configuration(tmp_path: Path) -> None:
    assert "num_beams 4" in load_model({**LLAMA, "num_beams": 4}).warnings[0]
    assert load_model(folder_of(tmp_path, {**LLAMA, "num_beams": 4}, {"num_beams": 1})).warnings == ()


def test_a_broken_file_beside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="generation_config"):
        load_model(folder_of(tmp_path, LLAMA, "{"))


# Classifiers and embedders


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gpt2", "jamba", "deepseek_v3", "qwen3_next", "gemma3_text"])
def test_a_classifier_has_the_parameters_of_transformers(model_type: str) -> None:
    _check_classifier(model_type)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(SEQUENCE_CLASSES))
def test_every_classifier_has_the_parameters_of_transformers(model_type: str) -> None:
    _check_classifier(model_type)


def _check_classifier(model_type: str) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    name = f"{SEQUENCE_CLASSES[model_type]}ForSequenceClassification"
    more = {"num_experts_per_tok": 6} if model_type == "deepseek_v2" else {}
    config = transformers.AutoConfig.for_model(model_type, num_labels=5, **more)
    with torch.device("meta"):
        module = getattr(transformers, name)(config)
    fields = {**json.loads(config.to_json_string(use_diff=False)), "architectures": [name]}
    model = load_model(fields)
    assert model.parameters == sum(each.numel() for each in module.parameters())
    assert model.phases == (Phase.PREFILL,)


def test_a_classifier_s_scores_by_hand() -> None:
    """Three labels of the last token: 2 x 3 x D FLOPs a sequence, in place of the head's 2 V D."""
    plain = predict({**LLAMA, "architectures": ["LlamaForCausalLM"]}, "h100", batch=4, phase="prefill")
    scored = predict(
        {**LLAMA, "architectures": ["LlamaForSequenceClassification"], "id2label": dict.fromkeys("abc", "")},
        "h100",
        batch=4,
    )
    head, scores = (each.phases[Phase.PREFILL].operators for each in (plain, scored))
    found = {op.name: op.figures.flops for op in scores}
    assert found["classifier"] == 4 * 2 * 3 * LLAMA["hidden_size"]
    assert {op.name for op in head} - set(found) == {"lm_head", "sampling"}
    assert scored.ttft_s is not None
    assert "input tokens/s" in answer("predict", "qwen3-0.6b", "--hardware", "h100", "--phase", "prefill")


@pytest.mark.parametrize("name", ["LlamaForSequenceClassification", "LlamaModel"])
def test_what_has_no_head_generates_nothing(name: str) -> None:
    fields = {**LLAMA, "architectures": [name]}
    assert tuple(predict(fields, "h100").phases) == (Phase.PREFILL,)
    assert predict(fields, "h100").engine.name == "vllm"
    with pytest.raises(UsageError, match="generates nothing"):
        predict(fields, "h100", generate=10)
    assert read_question(fields).traffic.reads == "documents"


def test_a_step_of_a_decoder_without_a_head_may_still_be_asked_for() -> None:
    found = predict({**LLAMA, "architectures": ["LlamaModel"]}, "h100", context=100)
    assert tuple(found.phases) == (Phase.DECODE,)


def test_an_unknown_class_is_refused_with_the_near_one(tmp_path: Path) -> None:
    folder_of(tmp_path, {**LLAMA, "architectures": ["LlamaForSequenceClassificatio"]}, {})
    assert "did you mean LlamaForSequenceClassification" in refusal(3, "predict", str(tmp_path), "--hardware", "h100")


# Layers that predict further tokens


@pytest.mark.parametrize("field", ["num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"])
@pytest.mark.parametrize("model_type", ["llama", "deepseek_v3", "nemotron_h", "qwen3_next", "qwen3_5_text"])
def test_layers_that_predict_further_tokens_are_left_out_alike_and_said(model_type: str, field: str) -> None:
    transformers = pytest.importorskip("transformers")
    fields = json.loads(transformers.AutoConfig.for_model(model_type).to_json_string(use_diff=False))
    fields |= dict.fromkeys(("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"), 0)
    without, ahead = (load_model({**fields, field: number}) for number in (0, 2))
    assert ahead.parameters == without.parameters
    assert [each for each in ahead.warnings if each not in without.warnings] == [
        "a mapping: its multi-token prediction (2) is not counted"
    ]
    assert model_type in FAMILIES
