"""The monitoring profile's files: they hang together, and ask for metrics that exist."""

import json
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.docker.compose_files import compose

FOLDER = ROOT / "docker" / "monitoring"


def services() -> dict[str, Any]:
    found = compose("docker-compose.yml")["services"]
    assert isinstance(found, dict)
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "grafana" / "denoised.json").read_text())
    return found


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def test_every_replica_is_asked_by_itself() -> None:
    (job,) = read("prometheus.yml")["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == ["api"]
    assert found["names"][0] in services()
    assert f"EXPOSE {found['port']}" in (ROOT / "docker" / "api.Dockerfile").read_text()
    secret = job["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert secret in services()["prometheus"]["secrets"]


def test_only_who_asks_for_it_gets_monitoring() -> None:
    assert {name for name, each in services().items() if "profiles" in each} == {
        "prometheus",
        "grafana",
    }


def test_what_is_mounted_is_there() -> None:
    for name in ("prometheus", "grafana", "proxy"):
        for mount in services()[name]["volumes"]:
            source = mount.partition(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).is_file(), source


def test_the_dashboard_is_where_grafana_looks_and_asks_the_source_it_has() -> None:
    (source,) = read("grafana/datasource.yml")["datasources"]
    (provider,) = read("grafana/dashboards.yml")["providers"]
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/denoised.json"
    assert any(mount.endswith(f"{home}:ro") for mount in services()["grafana"]["volumes"])
    assert source["url"] == "http://prometheus:9090"
    uids = {panel["datasource"]["uid"] for panel in dashboard()["panels"]}
    assert uids == {source["uid"]}


def test_panels_do_not_overlap_and_each_has_a_query() -> None:
    panels = dashboard()["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})
    assert all(target["expr"] for panel in panels for target in panel["targets"])
