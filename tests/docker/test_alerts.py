"""Alerts and panels look at figures that there are."""

import json
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
DASHBOARD = ROOT / "docker" / "monitoring" / "grafana" / "denoised.json"
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


def drawn() -> list[tuple[str, str]]:
    """Titles of panels, and what they ask."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def test_every_figure_that_is_looked_at_is_exported_with_its_labels(
    redis_server: RedisServer, redis: Redis
) -> None:
    samples = exported(redis_server, redis)
    assert len({name for _, query in drawn() for name, *_ in SELECTOR.findall(query)}) >= 9
    for who, query in [*((rule["alert"], rule["expr"]) for rule in rules()), *drawn()]:
        grouped = {
            label
            for names in re.findall(r"by \(([\w, ]+)\)", query)
            for label in re.split(", *", names)
        }
        for name, label, value in SELECTOR.findall(query):
            assert name in samples, f"{who}: nobody exports {name}"
            labels = set(samples[name][0])
            assert {label} - {""} <= labels, f"{who}: {name} has no {label}"
            assert grouped <= labels, f"{who}: {name} has no {grouped - labels}"
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
