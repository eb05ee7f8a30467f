"""What who deploys relies on, read from the files: no engine is needed."""

import json
import re
from importlib.util import find_spec
from typing import Any

import pytest
from pydantic import AliasChoices, AliasPath
from pydantic_settings import BaseSettings

from app.__main__ import GRACE_S
from app.prefer import LONGEST_WAIT_S
from app.settings import Settings
from launch.settings import DemoSettings, UpSettings
from launch.workers import GIVE_BACK_S, WorkersSettings
from protocol.registry import WORKER_TTL_S
from protocol.webhook_settings import WebhookPolicySettings
from protocol.webhook_store import SENDER_TTL_S
from tests.conftest import ROOT
from tests.docker.compose_files import Dockerfile, compose, dockerfile
from webhooks.settings import SenderSettings
from worker.healthy import HealthSettings
from worker.settings import WorkerSettings

BASE = ("docker-compose.yml",)
CPU = (*BASE, "docker-compose.cpu.yml")


class HubSettings(BaseSettings):
    """What huggingface_hub reads by itself."""

    hf_hub_offline: str = ""
    hf_token_path: str = ""


OURS: dict[str, tuple[type[BaseSettings], ...]] = {
    "api": (Settings,),
    "webhooks": (SenderSettings,),
    "worker": (WorkersSettings, WorkerSettings, HealthSettings, HubSettings),
}
LAUNCHERS: tuple[type[BaseSettings], ...] = (UpSettings, DemoSettings)
IMAGES = {"api": "api", "webhooks": "api", "worker": "worker"}
both = pytest.mark.parametrize("files", [BASE, CPU], ids=["gpu", "cpu"])
each = pytest.mark.parametrize("service", OURS)


def services(files: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found = compose(*files)["services"]
    assert isinstance(found, dict)
    return found


def image_of(service: str) -> Dockerfile:
    return dockerfile(f"{IMAGES[service]}.Dockerfile")


def devices(files: tuple[str, ...]) -> Any:
    return services(files)["worker"]["deploy"]["resources"]["reservations"].get("devices")


def variables_read_by(settings: type[BaseSettings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    names = set()
    for name, field in settings.model_fields.items():
        assert not isinstance(field.validation_alias, AliasPath | AliasChoices)
        names.add(field.validation_alias or f"{prefix}{name}".upper())
    return names


def default_of(text: str) -> str:
    """What Compose makes of `${NAME:-default}` where nobody sets NAME; other text as it is."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


def seconds(duration: str) -> float:
    """Of `15s` or `10m`, as Docker writes them."""
    return float(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


@both
def test_what_a_service_depends_on_and_mounts_is_there(files: tuple[str, ...]) -> None:
    declared = compose(*files)
    for service in declared["services"].values():
        assert set(service.get("depends_on", {})) <= set(declared["services"])
        named = {mount.partition(":")[0] for mount in service.get("volumes", [])}
        assert {name for name in named if name[0] not in ".$"} <= set(declared["volumes"])
        for name in service.get("networks", []):
            assert name in declared["networks"]
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


@both
def test_only_the_proxy_and_the_dashboards_are_published_and_only_on_loopback(
    files: tuple[str, ...],
) -> None:
    published = {
        name: ports for name, each in services(files).items() if (ports := each.get("ports"))
    }
    assert published == {
        "proxy": ["${BIND:-127.0.0.1}:${PORT:-8000}:8000"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
    }


def test_the_proxy_asks_the_api_at_its_port_and_outlasts_what_it_may_wait_for() -> None:
    configuration = (ROOT / "docker" / "haproxy.cfg").read_text()
    port = image_of("api").last("EXPOSE")
    assert f" api:{port} " in configuration
    assert Settings.model_fields["port"].default == int(port)
    assert seconds(services(BASE)["proxy"]["stop_grace_period"]) > LONGEST_WAIT_S


def test_what_the_proxy_waits_for_is_what_it_has() -> None:
    configuration = (ROOT / "docker" / "haproxy.cfg").read_text()
    script = (ROOT / "docker" / "until_up.lua").read_text()
    (backend,) = re.findall(r'core\.backends\["(\w+)"\]', script)
    (itself,) = re.findall(r'name ~= "(\w+)"', script)
    assert f"\nbackend {backend}\n" in configuration
    assert f"\tserver {itself} " in configuration
    (loaded,) = re.findall(r"lua-load (\S+)", configuration)
    assert any(mount.endswith(f":{loaded}:ro") for mount in services(BASE)["proxy"]["volumes"])


def test_the_way_to_redis_leads_nowhere_else() -> None:
    declared = compose(*BASE)
    assert declared["networks"]["queue"] == {"internal": True}
    assert services(BASE)["redis"]["networks"] == ["queue"]
    assert "networks" not in services(BASE)["proxy"]


@both
def test_redis_keeps_every_job_and_drops_none(files: tuple[str, ...]) -> None:
    redis = services(files)["redis"]
    script = redis["command"][-1]
    fsync = "--appendfsync ${REDIS_APPENDFSYNC:-always}"
    for flag in ("--appendonly yes", fsync, "--maxmemory-policy noeviction"):
        assert flag in script
    assert "--maxmemory $" in script, "without a limit a full Redis takes the host along"
    assert redis["volumes"] == ["redis:/data"]


@both
def test_everyone_waits_for_a_redis_that_answers(files: tuple[str, ...]) -> None:
    assert "redis-cli ping" in services(files)["redis"]["healthcheck"]["test"][-1]
    for service in OURS:
        assert services(files)[service]["depends_on"] == {"redis": {"condition": "service_healthy"}}


@both
@each
def test_every_variable_set_is_read_and_accepted(
    files: tuple[str, ...], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services(files)[service]["environment"]
    assert set(environment) <= set().union(*(variables_read_by(each) for each in OURS[service]))
    for name, value in environment.items():
        if value is not None and "/run/secrets/" not in str(value):
            monkeypatch.setenv(name, default_of(str(value)))  # None: the host's, where it has one
    for settings in OURS[service]:
        settings()


@both
def test_a_worker_keeps_its_data_in_a_volume(files: tuple[str, ...]) -> None:
    folder = dict(pair.split("=", 1) for pair in image_of("worker").last("ENV").split())["DATA_DIR"]
    assert f"data:{folder}" in services(files)["worker"]["volumes"]
    assert f"--owner=10001 --group=10001 {folder}" in " ".join(image_of("worker").all("RUN"))


def test_a_gpu_is_reserved_and_used() -> None:
    assert devices(BASE) == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    device = services(BASE)["worker"]["environment"]["WORKER_DEVICE"]
    assert default_of(device) == "cuda", "a worker without its GPU must not pass unnoticed"


def test_the_override_needs_no_gpu_and_fetches_no_cuda() -> None:
    worker = services(CPU)["worker"]
    assert devices(CPU) is None
    assert worker["environment"]["WORKER_DEVICE"] == "cpu"
    index = worker["build"]["args"]["TORCH_INDEX"]
    assert default_of(index) == "https://download.pytorch.org/whl/cpu"
    assert worker["image"] != services(BASE)["worker"].get("image"), "each has its own torch"


@both
def test_a_worker_can_be_scaled(files: tuple[str, ...]) -> None:
    assert not {"container_name", "ports", "hostname"} & set(services(files)["worker"])


@both
def test_a_sender_has_its_secret_in_a_volume_and_time_to_finish(files: tuple[str, ...]) -> None:
    sender = services(files)["webhooks"]
    assert sender["image"] == services(files)["api"]["image"]
    assert "webhooks:/data" in sender["volumes"]
    assert "DATA_DIR=/data" in image_of("webhooks").last("ENV").split()
    assert "--owner=10001 --group=10001 /data" in " ".join(image_of("webhooks").all("RUN"))
    attempt_s = SenderSettings.model_fields["timeout_s"].default
    assert seconds(sender["stop_grace_period"]) >= attempt_s + 10
    assert seconds(sender["healthcheck"]["interval"]) > SENDER_TTL_S


@both
def test_the_sender_may_do_what_the_api_lets_clients_ask_for(files: tuple[str, ...]) -> None:
    read = variables_read_by(WebhookPolicySettings)
    for service in ("api", "webhooks"):
        assert read <= set(services(files)[service]["environment"])


@both
def test_a_worker_has_time_to_drain(files: tuple[str, ...]) -> None:
    worker = services(files)["worker"]
    grace_s = float(default_of(worker["environment"]["WORKER_GRACE_S"]))
    assert grace_s == WorkersSettings.model_fields["grace_s"].default
    assert seconds(default_of(worker["stop_grace_period"])) >= grace_s + GIVE_BACK_S + 5


@both
def test_the_api_has_time_to_answer(files: tuple[str, ...]) -> None:
    assert seconds(services(files)["api"]["stop_grace_period"]) > GRACE_S


@both
def test_every_service_comes_back_and_may_do_little(files: tuple[str, ...]) -> None:
    for service in services(files).values():
        assert service["restart"] == "unless-stopped"
        assert service["init"] is True, "else SIGTERM is ignored until a handler is set"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "cap_add" not in service
        assert set(service["deploy"]["resources"]["limits"]) == {"memory", "pids"}
        assert service["logging"]["options"]["max-size"]


@each
def test_an_image_does_not_run_as_root(service: str) -> None:
    assert image_of(service).last("USER") == "10001:10001"


@each
def test_an_image_starts_its_process_without_a_shell(service: str) -> None:
    module = {"api": "app", "webhooks": "webhooks", "worker": "launch.workers"}[service]
    command = services(BASE)[service].get("command") or json.loads(image_of(service).last("CMD"))
    assert command == ["python", "-m", module]
    assert find_spec(module)


@each
def test_an_image_knows_whether_it_is_healthy(service: str) -> None:
    own = services(BASE)[service].get("healthcheck", {}).get("test")
    check = own or json.loads(image_of(service).last("HEALTHCHECK").partition("CMD")[2])
    asked = {
        "api": "http://127.0.0.1:8000/livez",
        "webhooks": "webhooks.healthy",
        "worker": "worker.healthy",
    }[service]
    assert asked in check[-1]


def test_a_worker_that_was_restarted_is_not_healthy_by_its_predecessors_heartbeat() -> None:
    found = re.search(r"--interval=(\w+)", image_of("worker").last("HEALTHCHECK"))
    assert found is not None
    assert seconds(found[1]) > WORKER_TTL_S


@each
def test_what_is_copied_exists(service: str) -> None:
    for source in image_of(service).sources:
        assert (ROOT / source).exists(), source


def test_what_is_copied_reaches_the_build_and_nothing_else_does() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    copied = {source.split("/")[0] for service in OURS for source in image_of(service).sources}
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied


def test_the_front_end_carries_no_engine() -> None:
    assert not {"worker", "models"} & set(image_of("api").sources)


def test_everything_that_can_be_set_is_explained_and_nothing_else() -> None:
    """In `.env.example`, which `make secrets` copies."""
    text = (ROOT / ".env.example").read_text()
    explained = re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.MULTILINE)
    assert len(explained) == len(set(explained))
    classes = [*LAUNCHERS, *(each for ours in OURS.values() for each in ours)]
    read = set().union(*(variables_read_by(settings) for settings in classes))
    asked_for = set().union(*(variables_asked_of_the_host(name) for name in CPU))
    assert set(explained) == (read | asked_for) - {"HF_TOKEN_PATH"}, "that is a path in a container"


def variables_asked_of_the_host(name: str) -> set[str]:
    text = (ROOT / name).read_text()
    return set(re.findall(r"(?<!\$)\$\{(\w+)", text)) | set(
        re.findall(r"^ +([A-Z][A-Z_]+):$", text, re.MULTILINE)
    )


def test_what_is_shown_as_a_default_is_the_default() -> None:
    """Of what compose itself fills in."""
    shown = dict(re.findall(r"^#([A-Z][A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text(), re.M))
    filled = re.findall(r"\$\{(\w+):-([^}]+)\}", (ROOT / BASE[0]).read_text())
    assert {name: shown[name] for name, value in filled if value != "/dev/null"} == {
        name: value for name, value in filled if value != "/dev/null"
    }


@pytest.mark.parametrize("name", ["REDIS_PASSWORD_FILE"])
def test_a_secret_that_must_be_there_is_asked_for_with_the_way_out(name: str) -> None:
    declared = compose(*BASE)["secrets"]["redis-password"]["file"]
    assert re.fullmatch(rf"\$\{{{name}:\?.*make secrets.*\}}", declared)


def test_a_services_secrets_are_declared() -> None:
    declared = compose(*BASE)
    for service in declared["services"].values():
        assert set(service.get("secrets", [])) <= set(declared["secrets"])


def test_no_build_needs_a_frontend_from_elsewhere_and_bases_name_their_suite() -> None:
    for service in OURS:
        text = (ROOT / "docker" / f"{IMAGES[service]}.Dockerfile").read_text()
        assert "syntax=" not in text
        assert "HEALTHCHECK NONE" not in text
        for base in image_of(service).all("FROM"):
            assert base.split()[0].endswith("-bookworm")


@each
def test_an_image_says_what_it_is(service: str) -> None:
    label = image_of(service).last("LABEL")
    for name in ("title", "description", "revision", "base.name"):
        assert f"org.opencontainers.image.{name}=" in label


@pytest.mark.parametrize("settings", [Settings, SenderSettings, WorkerSettings, WorkersSettings])
def test_a_variable_set_to_nothing_is_as_one_not_set(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {"REDIS_URL", "DATA_DIR"} & variables_read_by(settings)
    for name in needed:
        monkeypatch.setenv(name, "redis://h")
    for name in variables_read_by(settings) - needed:
        monkeypatch.delenv(name, raising=False)
    unset = settings()
    for name in variables_read_by(settings) - needed:
        monkeypatch.setenv(name, "")
    assert settings() == unset
