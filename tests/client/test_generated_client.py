"""A client that a stranger generates from our OpenAPI document, without a word from us."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker, picture

CONFIG = """\
post_hooks: []
content_type_overrides:
  image/png: application/octet-stream
  application/zip: application/octet-stream
"""
USE = """\
import sys
from pathlib import Path

from generated import Client
from generated.api.images import images_image
from generated.api.jobs import jobs_get, jobs_submit
from generated.models import JobSubmission, Problem, SamplerChoice, SamplerChoiceName

client = Client(base_url=sys.argv[1])
refused = jobs_submit.sync(client=client, body=JobSubmission(n=0))
assert isinstance(refused, Problem), refused
assert refused.errors[0].pointer == "/n", refused
sampler = SamplerChoice(name=SamplerChoiceName.DDIM, steps=50)
job = jobs_submit.sync(client=client, body=JobSubmission(n=2, seed=7, sampler=sampler))
print(job.id, flush=True)
job = jobs_get.sync(job.id, client=client, prefer="wait=60")
assert job.done, job
assert job.request.sampler.steps == 50, job
assert [image.index for image in job.images] == [0, 1], job
picture = images_image.sync(job.id, 1, client=client)
Path(sys.argv[2]).write_bytes(picture.payload.read())
"""


@pytest.fixture
def generated(api: ApiProcess, tmp_path: Path) -> Path:
    """A folder with the package `generated`."""
    document, config = tmp_path / "openapi.json", tmp_path / "config.yml"
    document.write_bytes(httpx2.get(f"{api.url}/openapi.json").content)
    config.write_text(CONFIG)
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
        + ["--path", document, "--config", config, "--output-path", tmp_path / "generated"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert "WARNING" not in made.stdout + made.stderr
    return tmp_path


def test_a_generated_client_submits_a_job_reads_it_and_fetches_a_picture(
    api: ApiProcess, worker: PlayedWorker, generated: Path
) -> None:
    file = generated / "one.png"
    with subprocess.Popen(
        [sys.executable, "-c", USE, api.url, file],
        env=os.environ | {"PYTHONPATH": str(generated)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        worker.finish(process.stdout.readline().strip())
    assert process.returncode == 0
    assert file.read_bytes() == picture(1)[0]


def test_operations_have_names_to_read(api: ApiProcess) -> None:
    document = json.loads(httpx2.get(f"{api.url}/openapi.json").content)
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert {"jobs_submit", "jobs_get", "jobs_cancel", "images_image", "models_get"} <= set(names)
    assert len(names) == len(set(names))
