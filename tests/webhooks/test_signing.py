"""Signatures that receivers' own library accepts, and a file of secrets that can be rotated."""

import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from webhooks.signing import SecretsError, SecretsFile, new_secret, signed_headers

OLD, NEW, OTHER = new_secret(), new_secret(), new_secret()
BODY = '{"type":"job.succeeded","data":{"name":"über"}}'


def written(folder: Path, text: str) -> SecretsFile:
    path = folder / "secrets.toml"
    path.write_text(text)
    return SecretsFile(path)


def test_while_secrets_rotate_a_receiver_of_either_is_content() -> None:
    headers = signed_headers("msg_1", time.time(), BODY, [NEW, OLD])
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(BODY, headers)["type"] == "job.succeeded"
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY + " ", headers)


def test_a_tenant_has_its_own_secrets_or_everybodys(tmp_path: Path) -> None:
    secrets = written(tmp_path, f'"*" = ["{OLD}"]\nalice = ["{NEW}", "{OTHER}"]\n')
    assert secrets.of("alice") == [NEW, OTHER]
    assert secrets.of("bob") == [OLD]


def test_a_rotation_is_seen_at_once(tmp_path: Path) -> None:
    secrets = written(tmp_path, f'"*" = ["{OLD}"]\n')
    assert secrets.of("bob") == [OLD]
    written(tmp_path, f'"*" = ["{NEW}", "{OLD}"]\n')
    assert secrets.of("bob") == [NEW, OLD]


@pytest.mark.parametrize(
    "text",
    [
        "alice = []",
        '"*" = "OLD"',
        '"*" = ["BARE"]',
        '"*" = ["whsec_c2hvcnQ="]',
        f'"*" = ["whsec_{"A" * 100}"]',
        '"*" = ["OLD!"]',
        '"*" = ["OLD–"]',  # an en dash, as word processors have it
        '"*" = ["OLD"',
        '["*"]\nsecret = "OLD"',
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    text = text.replace("OLD", OLD).replace("BARE", OLD.removeprefix("whsec_"))
    secrets = written(tmp_path, text)
    with pytest.raises(SecretsError) as refused:
        secrets.of("alice")
    assert OLD.removeprefix("whsec_") not in str(refused.value)
    assert refused.value.__cause__ is None


def test_without_a_file_there_is_one_new_secret_for_us_alone(tmp_path: Path) -> None:
    secrets = SecretsFile(tmp_path / "data" / "secrets.toml")
    with pytest.raises(SecretsError, match="No such file"):
        secrets.read()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: secrets.create_if_missing(), range(8)))
    (secret,) = secrets.of("anybody")
    assert not secrets.create_if_missing()
    assert secrets.of("anybody") == [secret]
    assert stat.S_IMODE(secrets.path.stat().st_mode) == 0o600
    assert [path.name for path in secrets.path.parent.iterdir()] == ["secrets.toml"]
