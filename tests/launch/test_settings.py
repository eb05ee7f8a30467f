"""What the launcher takes for a model, before a worker looks inside."""

from pathlib import Path

import pytest

from launch.settings import SettingsError, check_model


@pytest.mark.parametrize("named", ["owner/name", "owner/name@v1.0", "owner/name@refs/pr/1"])
def test_an_id_on_the_hub_is_left_to_the_worker(named: str) -> None:
    check_model(Path(named))


@pytest.mark.parametrize("named", ["nowhere", "a/b/c", "a/b/c@main", "/a/b", "/a/b@main"])
def test_what_is_neither_folder_nor_id_is_refused_at_once(named: str) -> None:
    with pytest.raises(SettingsError, match=f"MODEL: {named} is not a folder"):
        check_model(Path(named))
