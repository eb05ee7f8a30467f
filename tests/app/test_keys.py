"""Keys: who gets in, what stands in the file, and when it is read."""

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from app.keys import KeyRing, KeysError, read
from app.settings import Settings
from tests.app import owners
from tests.app.api_process import ApiProcess
from tests.app.checks import problem
from tests.app.played_worker import PlayedWorker
from tests.conftest import ROOT, RedisServer, until

GOOD = {"name": "anna", "sha256": "0" * 64}

WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("", "a list `keys` and nothing else"),
    "no TOML": ("keys = ", "neither JSON nor TOML"),
    "something else": ("[limits]\n", "a list `keys` and nothing else"),
    "no owner": ("keys = []", "keys: "),
    "no list": ('keys = "anna"', "keys: "),
    "no hash": ('[[keys]]\nname = "anna"', "keys.0.sha256"),
    "a key for a hash": ('[[keys]]\nname = "anna"\nsha256 = "dn_secret"', "keys.0.sha256"),
    "a bad name": (owners.entry("Anna "), "keys.0.name"),
    "an unknown scope": (owners.entry("anna").replace("[]", '["root"]'), "keys.0.scopes"),
    "an unknown quota": (owners.entry("anna").replace("{}", "{ jobs = 1 }"), "keys.0.quotas.jobs"),
    "a quota of nothing": (
        owners.entry("anna").replace("{}", "{ queued_images = 0 }"),
        "keys.0.quotas.queued_images",
    ),
    "a quota in words": (
        owners.entry("anna").replace("{}", '{ requests_per_s = "ten" }'),
        "keys.0.quotas.requests_per_s",
    ),
    "a name twice": (owners.entry("anna") * 2, "a name stands there twice"),
    "a hash twice": (
        owners.entry("anna") + owners.entry("anna").replace('"anna"', '"bert"'),
        "a sha256 stands there twice",
    ),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_a_bad_file_is_refused_in_one_line_without_what_stands_in_it(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(KeysError) as raised:
        read(path)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="No such file"):
        read(tmp_path / "keys.toml")


def test_json_will_do_as_well_and_an_owner_may_have_two_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in ("old", "new")]
    path.write_text(json.dumps({"keys": [GOOD | {"sha256": hashes, "scopes": ["admin"]}]}))
    keys = KeyRing(path)
    for key in ("old", "new"):
        owner = keys.owner_of(key)
        assert owner is not None
        assert (owner.name, owner.scopes) == ("anna", frozenset({"admin"}))
    assert keys.owner_of("older") is None
    assert keys.owner_of(hashes[0]) is None


def test_a_bad_file_does_not_take_the_place_of_a_good_one(tmp_path: Path) -> None:
    path = owners.write(tmp_path / "keys.toml", "anna")
    keys = KeyRing(path)
    path.write_text("keys = ")
    keys.reload()
    assert keys.owner_of(owners.key_of("anna"))
    owners.write(path, "bert")
    keys.reload()
    assert keys.owner_of(owners.key_of("anna")) is None
    assert keys.owner_of(owners.key_of("bert"))


def make_key(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "app.keys", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_key_is_made_and_its_entry_lets_it_in(tmp_path: Path) -> None:
    made = make_key("anna", "--admin")
    (key,) = re.findall(r"\bdn_[A-Za-z0-9_-]{43}$", made.stderr.strip())
    assert key not in made.stdout
    path = tmp_path / "keys.toml"
    path.write_text(made.stdout)
    owner = KeyRing(path).owner_of(key)
    assert owner is not None
    assert (owner.name, owner.scopes) == ("anna", frozenset({"admin"}))


def test_no_key_is_made_for_a_bad_name() -> None:
    made = make_key("Anna!")
    assert (made.returncode, made.stdout) == (2, "")


BAD_HEADERS: dict[str, tuple[list[tuple[str, str]], str]] = {
    "none": ([], "Bearer"),
    "no key": ([("Authorization", "Bearer")], 'Bearer error="invalid_token"'),
    "an unknown key": ([("Authorization", "Bearer nobody")], 'Bearer error="invalid_token"'),
    "another scheme": (
        [("Authorization", f"Basic {owners.key_of('anna')}")],
        'Bearer error="invalid_token"',
    ),
    "more than a key": (
        [("Authorization", f"Bearer {owners.key_of('anna')} x")],
        'Bearer error="invalid_token"',
    ),
    "two of them": (
        [("Authorization", f"Bearer {owners.key_of(name)}") for name in ("anna", "bert")],
        'Bearer error="invalid_token"',
    ),
    "not even ASCII": ([("Authorization", "Bearer ключ")], 'Bearer error="invalid_token"'),
}


@pytest.mark.parametrize(("headers", "challenge"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_without_a_good_key_nothing_is_read_and_nothing_told(
    keyed: TestClient, headers: list[tuple[str, str]], challenge: str
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    for method, path in (
        ("POST", "/v1/jobs"),
        ("GET", f"/v1/jobs/job_{'0' * 32}"),
        ("GET", "/v1/models"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
    ):
        response = keyed.request(method, path, headers=raw, content=b"{" * 10)
        problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == challenge


def test_the_scheme_is_called_bearer_in_any_case(keyed: TestClient) -> None:
    headers = {"authorization": f"bEARER  {owners.key_of('anna')} "}
    assert keyed.get("/v1/models", headers=headers).status_code == 200


def test_probes_and_the_documentation_need_no_key(keyed: TestClient, worker: PlayedWorker) -> None:
    for path in ("/livez", "/readyz", "/openapi.json", "/docs"):
        assert keyed.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/v1/stats", "/metrics"])
def test_what_tells_of_everybody_is_for_admins(keyed: TestClient, path: str) -> None:
    problem(keyed.get(path, headers=owners.header("anna")), 403, "forbidden")
    assert keyed.get(path, headers=owners.header("root")).status_code == 200


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"APP_HOST": "0.0.0.0"}, "APP_HOST: 0.0.0.0 is not loopback"),
        ({"APP_KEYS_FILE": "/nowhere.toml"}, "APP_KEYS_FILE: /nowhere.toml: No such file"),
        ({"APP_CORS_ORIGINS": "example.org"}, "APP_CORS_ORIGINS: "),
    ],
    ids=str,
)
def test_the_start_is_refused_in_one_line(environment: dict[str, str], words: str) -> None:
    with ApiProcess.start("redis://localhost:1", environment=environment) as api:
        assert api.process.wait(timeout=60) == 2
        until(lambda: api.log)
        (line,) = api.log
    assert line.startswith(f"cannot start: {words}")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_without_keys_only_loopback_will_do_unless_the_network_is_trusted(host: str) -> None:
    with pytest.raises(ValidationError, match="is not loopback"):
        Settings(redis_url="redis://r", host=host)
    assert Settings(redis_url="redis://r", host=host, trusted_network=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert Settings(redis_url="redis://r", host=host).keys_file is None


def test_with_keys_it_listens_anywhere_and_reads_them_again_on_sighup(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    path = owners.write(tmp_path / "keys.toml", "anna")
    environment = {"APP_HOST": "0.0.0.0", "APP_KEYS_FILE": str(path)}
    with ApiProcess.start(redis_server.url, environment=environment) as api, api.client() as client:

        def status(name: str) -> int:
            return client.get("/v1/models", headers=owners.header(name)).status_code

        assert (status("anna"), status("bert")) == (200, 401)
        owners.write(path, "bert")
        api.process.send_signal(signal.SIGHUP)
        until(lambda: status("bert") == 200)
        assert status("anna") == 401
        path.write_text("")
        api.process.send_signal(signal.SIGHUP)
        until(lambda: any("keys stay as they are" in line for line in api.log))
        assert status("bert") == 200
    assert not any(owners.key_of(name) in line for line in api.log for name in ("anna", "bert"))


def told(client: TestClient) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def test_the_document_says_where_a_key_is_needed(client: TestClient) -> None:
    document = told(client)
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, item in document["paths"].items():
        for operation in item.values():
            guarded = path not in ("/livez", "/readyz")
            assert ("security" in operation) == guarded, path
            assert ("401" in operation["responses"]) == guarded, path
            assert ("429" in operation["responses"]) == guarded, path
