"""Every example in our documents is run: against a real service, with a worker on a small model."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from denoised_client import Client

from models.checkpoint import save_checkpoint
from models.schedule import linear_schedule
from models.unet import UNet
from tests.app.api_process import ApiProcess
from tests.conftest import ROOT, TINY, RedisServer, Workers
from tests.docs import examples
from tests.docs.examples import Block, blocks_of

DOCUMENTS = ("README.md", "docs/api.md", "docs/client.md", "client/README.md")
MODEL = "fashion-mnist"  # by name alone: of random weights, and 8x8
COMMAND = f"""\
#!/bin/sh
PYTHONPATH={ROOT / "client"} exec {sys.executable} -m denoised_client "$@"
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Redis, API and a worker: the API's address."""
    model = tmp_path_factory.mktemp("models") / MODEL
    torch.manual_seed(0)
    card = {"name": MODEL}
    save_checkpoint(model, TINY, UNet(TINY).state_dict(), linear_schedule(), card=card)
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer.running())
        workers = Workers(server, tmp_path_factory.mktemp("data"))
        stack.callback(workers.stop_all)
        workers.start(model)
        yield stack.enter_context(ApiProcess.start(server.url)).url


@dataclass
class Reader:
    """Somebody who types a document's examples, from its first line to its last."""

    service: str
    namespace: dict[str, Any] = field(default_factory=dict)
    job_id: str | None = None

    def run(self, block: Block) -> None:
        text = block.text.replace(examples.IN_DOCUMENTS, self.service.removeprefix("http://"))
        if block.language == "python":
            code = compile("\n" * block.line + text, str(block.document), "exec")
            exec(code, self.namespace)
            return
        for command, output in examples.commands(text):
            self._type(command, output)

    def _type(self, command: str, expected: str) -> None:
        told = subprocess.run(
            ["bash", "-c", examples.with_job(command, self.job_id)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert told.returncode == 0, f"{command}\n{told.stdout}\n{told.stderr}"
        self.job_id = examples.job_in(told.stdout) or self.job_id
        assert examples.is_as_expected(expected, told.stdout), f"{command}\n{told.stdout}"

    def close(self) -> None:
        for value in self.namespace.values():
            if isinstance(value, Client):
                value.close()


@pytest.fixture
def reader(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """In an empty folder, with `denoised` installed."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "denoised"
    command.write_text(COMMAND)
    command.chmod(0o755)
    (tmp_path / ".curlrc").write_text("fail\n")  # a refusal is no success
    monkeypatch.setenv("CURL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("DENOISED_URL", service)
    reader = Reader(service)
    yield reader
    reader.close()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_examples_do_what_the_document_says(document: str, reader: Reader) -> None:
    for block in blocks_of(ROOT / document):
        if block.is_run:
            reader.run(block)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_an_example_that_is_not_run_says_why(document: str) -> None:
    blocks = blocks_of(ROOT / document)
    assert 2 * len(blocks) == (ROOT / document).read_text().count("```"), "all are seen"
    for block in blocks:
        shown = block.is_marked or block.language in (*examples.RUN, *examples.SHOWN)
        assert shown, f"{document}, line {block.line}: run it as console or python, or say why not"
