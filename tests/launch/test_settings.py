"""What the launcher takes for a model or a place to listen, before its children do."""

import socket
from pathlib import Path

import pytest

from launch.settings import (
    DemoSettings,
    SettingsError,
    UpSettings,
    check_model,
    check_port,
    free_port,
)
from tests.launch.launcher import needs_ipv6


@pytest.mark.parametrize("named", ["owner/name", "owner/name@v1.0", "owner/name@refs/pr/1"])
def test_an_id_on_the_hub_is_left_to_the_worker(named: str) -> None:
    check_model(Path(named))


@pytest.mark.parametrize("named", ["nowhere", "a/b/c", "a/b/c@main", "/a/b", "/a/b@main"])
def test_what_is_neither_folder_nor_id_is_refused_at_once(named: str) -> None:
    with pytest.raises(SettingsError, match=f"MODEL: {named} is not a folder"):
        check_model(Path(named))


def test_what_no_shell_has_expanded_is_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("DATA_DIR", "MODEL", "OUT"):
        monkeypatch.setenv(variable, "~/mine")
    up, demo = UpSettings(), DemoSettings()
    assert {up.data_dir, up.model, demo.out, demo.model} == {tmp_path / "mine"}


@needs_ipv6
def test_an_ipv6_address_is_in_brackets_in_the_url() -> None:
    assert UpSettings(host="127.0.0.1", port=8001).url == "http://127.0.0.1:8001"
    assert UpSettings(host="::1", port=8001).url == "http://[::1]:8001"


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_a_port_that_is_used_is_told_from_one_that_is_not(host: str) -> None:
    check_port(host, free_port())
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(SettingsError, match=f"^port {port} is in use: "):
            check_port(host, port)


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_a_host_that_is_not_ours_is_not_a_port_in_use(host: str) -> None:
    with pytest.raises(SettingsError, match=f"^HOST: cannot listen on {host}: ."):
        check_port(host, free_port())
