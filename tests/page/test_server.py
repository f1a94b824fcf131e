"""The server: what it answers, and everything that does not come in."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import json_schema
import pytest
from asking import Reply, ask
from shell import answer, refusal

import roofline
from roofline.errors import MissingExtraError, UsageError
from roofline.models import model
from roofline.options.option import fields_of
from roofline.options.verbs.predicting import PredictOptions
from roofline.page import server
from roofline.page.asked import SUBJECT
from roofline.page.doors import Application
from roofline.page.files import MODULES, assets
from roofline.page.questions import QUESTIONS

pytest.importorskip("starlette", reason="the extra web is not installed: the server is not asked")

opened: list[str] = []
listening: list[bool] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and listening:
        opened.append(str(arguments[0]))


sys.addaudithook(_listen)


@pytest.fixture
def files() -> Iterator[list[str]]:
    """Every file that is opened while a test runs, whoever opens it."""
    opened.clear()
    listening.append(True)
    yield opened
    listening.clear()


@pytest.fixture(scope="module")
def application() -> Application:
    return server.application()


def asked(application: Application, path: str, **query: str) -> Reply:
    return ask(application, f"{path}?{urlencode(query)}")


GPT2 = {"model": "gpt2", "hardware": "a10"}


def test_an_answer_is_that_of_the_command_line(application: Application) -> None:
    query = {**GPT2, "batch": "4", "prompt": "100", "generate": "7", "set": "engine.chunk=64"}
    found = asked(application, "/api/predict", **query)
    flags = ("--batch", "4", "--prompt", "100", "--generate", "7", "--set", "engine.chunk=64")
    assert found.status == 200
    assert found.json == json.loads(answer("predict", "gpt2", "--hardware", "a10", *flags, "--json"))
    compared = {"model": "gpt2", "hardware": "a10,l4", "prompt": "100", "generate": "7", "utilization": "0.5"}
    expected = roofline.compare("gpt2", "a10,l4", prompt=100, generate=7, utilization="0.5").to_dict()
    assert asked(application, "/api/compare", **compared).json == json.loads(json.dumps(expected))
    formula = asked(application, "/api/formula", subject="attention", phase="decode", quantity="intensity").json
    assert formula["formulas"][0]["expression"] == "G*S/(G + S)"


@pytest.mark.parametrize(
    ("code", "name", "value"), [(3, "prompt", "5000"), (2, "dtype", "fp9"), (3, "set", "engine.x=1"), (2, "batch", "0")]
)
def test_a_refusal_is_that_of_the_command_line(application: Application, code: int, name: str, value: str) -> None:
    found = asked(application, "/api/predict", **GPT2, **{name: value})
    told = refusal(code, "predict", "gpt2", "--hardware", "a10", f"--{name}", value)
    assert (found.status, list(found.json)) == (400, ["error"])
    assert found.json["error"] in told


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/api/predict", "expected model=... or config=... or gguf=..., one of them"),
        ("/api/predict?model=gpt2", "expected hardware=... or spec=..., one of them"),
        ("/api/predict?model=gpt2&model=bert-base&hardware=a10", "model: given as"),
        ("/api/predict?model=gpt2&hardware=a10&batch=x", 'batch "x": expected a whole number'),
        ("/api/predict?model=gpt2&hardware=a10&batc=1", 'query "batc": no such option; did you mean batch'),
        ("/api/predict?model=gpt2&hardware=a10&phase=prefil", "prefil"),
        ("/api/predict?config=%7B&hardware=a10", "config:1: "),
        ("/api/predict?config=[]&hardware=a10", "config: holds an empty list"),
        ("/api/predict?model=gpt2&spec=a:%20%5B", "spec:2: "),
        ("/api/models?x=1", 'query "x": no such option'),
        ("/api/formula?phase=decode", "subject is missing"),
        ("/api/compare?model=gpt2&hardware=a10&pools=yes", 'pools "yes": expected true or false'),
    ],
)
def test_what_is_wrong_is_one_line(application: Application, path: str, problem: str) -> None:
    found = ask(application, path)
    assert found.status == 400
    assert problem in found.json["error"]
    assert "\n" not in found.json["error"]


OUTSIDE = [
    "../secret.yaml",
    "secret.yaml",
    "/etc/passwd",
    "..%2Fsecret",
    "a/../secret.json",
    "secret.py:make",
    "hf:x/secret",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_text_of_a_request_is_a_path(
    application: Application, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for file in ("secret.yaml", "secret.json", "secret.py", "secret"):
        (tmp_path / file).write_text("name: secret\n", encoding="utf-8")
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    given = {"model": "gpt2", "hardware": "a10"}
    files.clear()
    queries = [
        ("/api/predict", {"model": name}),
        ("/api/predict", {"hardware": name}),
        ("/api/predict", {"hardware": f"8x{name}"}),
        ("/api/predict", {"engine": name}),
        ("/api/predict", {"set": f"hardware.class={name}"}),
        ("/api/compare", {"hardware": f"a10,{name}"}),
        ("/api/compare", {"workload": name}),
        ("/api/compare", {"prices": name}),
        ("/api/compare", {"draft": name}),
        ("/api/size", {"prefill_on": name}),
        ("/api/formula", {"subject": name}),
        ("/page/tape", {"model": name}),
        ("/page/operator", {"model": name, "op": name, "phase": "decode"}),
    ]
    for path, query in queries:
        subject = {} if path == "/api/formula" else given if path != "/page/operator" else {}
        assert asked(application, path, **{**subject, **query}).status == 400, (path, query)
    assert ask(application, f"/{name}").status == 404
    assert [file for file in files if "secret" in file or "passwd" in file] == []


def test_a_folder_that_has_the_name_of_a_preset_is_not_read(
    application: Application, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    model._shipped.cache_clear()
    files.clear()
    assert asked(application, "/api/predict", **GPT2, batch="3").status == 200
    assert [file for file in files if "config.json" in file] == []


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"host": "evil.example"}, "host"),
        ({"host": "evil.example:8765"}, "host"),
        ({"host": "127.0.0.1.evil.example"}, "host"),
        ({"host": "[::1]:8765"}, "host"),
        ({"host": ""}, "host"),
        ({"sec-fetch-site": "cross-site"}, "another site"),
        ({"sec-fetch-site": "same-site"}, "another site"),
    ],
)
def test_strangers_do_not_come_in(application: Application, headers: dict[str, str], why: str) -> None:
    found = ask(application, "/api/predict?model=gpt2&hardware=a10", headers=headers)
    assert (found.status, found.json["error"].startswith(why)) == (403, True)
    assert "access-control-allow-origin" not in found.headers


def test_a_link_from_another_site_opens_the_page_and_its_host_has_two_names(application: Application) -> None:
    for page in ("/", "/lesson.html"):
        assert ask(application, page, headers={"sec-fetch-site": "cross-site"}).status == 200
    assert ask(application, "/", headers={"host": "LOCALHOST:1"}).status == 200
    assert ask(application, "/", headers={"host": "evil.example"}).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_only_get_is_answered(application: Application, method: str) -> None:
    for path in ("/", "/api/predict", "/page/tape", "/openapi.json"):
        assert ask(application, path, method=method).status == 405


def test_what_is_large_is_refused(application: Application) -> None:
    for name, other in (("config", {"hardware": "a10"}), ("spec", {"model": "gpt2"})):
        found = asked(application, "/api/predict", **{name: "x" * 40_000}, **other)
        assert found.json["error"] == f"{name}: 40,000 letters, expected at most 32,768"
    assert asked(application, "/api/predict", **GPT2, batch="9" * 5000).status == 400


MARKUP = "<script>alert(1)</script>"


def test_markup_is_text(application: Application) -> None:
    """What a refusal repeats is JSON that no browser takes for a page."""
    config = {"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 64, "n_layer": 2, "n_head": 2}
    config[MARKUP] = 3
    found = asked(application, "/api/predict", config=json.dumps(config), hardware="a10", prompt="9", generate="3")
    refused = asked(application, "/api/predict", model=MARKUP, hardware="a10")
    for reply, status in ((found, 200), (refused, 400)):
        assert reply.status == status
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert any(MARKUP in note for note in found.json["notes"])


def test_the_page_is_served_whole_behind_its_policy(application: Application) -> None:
    page = ask(application, "/")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert ask(application, "/lesson.html").headers["content-security-policy"] == policy
    for name, content in assets().items():
        found = ask(application, "/" if name == "page.html" else f"/{name}")
        assert (found.status, found.body) == (200, content), name
    assert b"style=" not in page.body  # which the policy would block
    assert all(f"{name}.js" in assets() for name in MODULES)


def test_requests_in_flight_are_those_of_a_sweep(application: Application, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: nothing is swept")
    rows = asked(application, "/page/serving", **GPT2, prompt="100", generate="20").json["rows"]
    study = {"models": "gpt2", "hardware": "a10", "concurrency": [8], "prompt": [100], "generate": [20]}
    (swept,) = roofline.sweep(study, tmp_path / "sweep").scan().to_table().to_pylist()
    (own,) = [each for each in rows if each["concurrency"] == 8]
    for name in ("ttft_s", "tpot_s", "tokens_per_s", "requests_per_s", "total_bytes"):
        assert own[name] == pytest.approx(swept[name], rel=1e-12), name
    assert own["tpot_low_s"] < own["tpot_s"] < own["tpot_high_s"]
    refused = asked(application, "/page/serving", model="bert-base", hardware="a10").json["error"]
    assert refused.startswith("bert-base: it generates nothing")


def test_a_bug_is_told_and_the_server_stays(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("roofline.prediction.predict.predict_request", broken)
    found = asked(application, "/api/predict", **GPT2, batch="77")
    assert found.status == 500
    assert found.json == {"error": "roofline failed (ZeroDivisionError); please report the question"}
    monkeypatch.undo()
    assert asked(application, "/api/predict", **GPT2, batch="77").status == 200


def test_the_description_says_what_is_answered(application: Application) -> None:
    told = ask(application, "/openapi.json").json
    assert list(told["paths"]) == [f"/api/{name}" for name in QUESTIONS]
    predict = told["paths"]["/api/predict"]["get"]
    names = [each["name"] for each in predict["parameters"]]
    assert names == [*SUBJECT, *(field.name for field in fields_of(PredictOptions))]
    text = json.dumps(told)
    schemas = told["components"]["schemas"]
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in schemas
    found = asked(application, "/api/predict", **GPT2).json
    whole = json.dumps(schemas["predict"]).replace("#/components/schemas/predict.", "#/$defs/")
    inner = {name.removeprefix("predict."): each for name, each in schemas.items() if name.startswith("predict.")}
    moved = json.loads(json.dumps(inner).replace("#/components/schemas/predict.", "#/$defs/"))
    json_schema.check(found, {**json.loads(whole), "$defs": moved})


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: .*; give another"):
            server.serve(port, lambda _: None)
    with pytest.raises(UsageError, match="--port 70000: expected 0 to 65535"):
        server.serve(70_000, lambda _: None)


def test_without_the_extra_its_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[web\]'"):
        server.application()
    assert "'.[web]'" in refusal(7, "page")


def test_what_belongs_to_a_file_is_refused_when_serving() -> None:
    assert "--models says what a file holds" in refusal(2, "page", "--models", "gpt2")
    assert "--models is missing" in refusal(2, "page", "-o", "x.html", "--hardware", "a10")
    missing = "--models and --hardware are missing: what the file is to hold, such as --models"
    assert missing in refusal(2, "page", "--lesson", "-o", "x.html")
