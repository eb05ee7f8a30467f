"""Alerts look at figures that there are."""

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.played_worker import PlayedWorker
from tests.conftest import ROOT, RedisServer

RULES = ROOT / "docker" / "monitoring" / "alerts.yml"
DOCUMENT = ROOT / "docs" / "operations.md"
SELECTOR = re.compile(r"(denoised_\w+)(?:\{(\w+)=~?\"([^\"]+)\"\})?")


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def exported(server: RedisServer, redis: Redis) -> dict[str, list[dict[str, str]]]:
    """Labels of each sample of a service with a worker and some requests, by name."""
    PlayedWorker(redis).announce()
    with TestClient(create_app(Settings(redis_url=server.url))) as client:
        client.get("/v1/models")
        families = list(text_string_to_metric_families(client.get("/metrics").text))
    samples: dict[str, list[dict[str, str]]] = {}
    for sample in (sample for family in families for sample in family.samples):
        samples.setdefault(sample.name, []).append(sample.labels)
    return samples


def test_every_figure_an_alert_looks_at_is_exported_with_its_labels(
    redis_server: RedisServer, redis: Redis
) -> None:
    samples = exported(redis_server, redis)
    for rule in rules():
        grouped = re.findall(r"by \((\w+)\)", rule["expr"])
        for name, label, value in SELECTOR.findall(rule["expr"]):
            assert name in samples, f"{rule['alert']}: nobody exports {name}"
            labels = samples[name][0]
            assert {label} - {""} <= set(labels), f"{rule['alert']}: {name} has no {label}"
            assert set(grouped) <= set(labels), f"{rule['alert']}: {name} has no {grouped}"
            if label == "state":
                assert value in {sample[label] for sample in samples[name]}


def table(path: Path, prefix: str) -> set[str]:
    """What stands in backticks in the first column of tables, and begins so."""
    cells = re.findall(r"^\| (`.*?) \|", path.read_text(), re.MULTILINE)
    return {name for cell in cells for name in re.findall(rf"`({prefix}\w+)", cell)}


def test_the_document_names_every_figure_and_no_other(
    redis_server: RedisServer, redis: Redis
) -> None:
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported(redis_server, redis)}
    assert table(DOCUMENT, "denoised_") == names


def test_the_document_says_what_to_do_about_every_alert() -> None:
    names = {rule["alert"] for rule in rules()}
    assert names <= table(DOCUMENT, "[A-Z]")
