"""HTTP by the standard library alone: it may be run elsewhere than the tests are.

`call.py METHOD URL BODY PREFER` prints {"status", "body"}. `call.py load URL` submits small jobs
until its standard input ends, and prints the status of each request and its job, once that is done.
"""

import json
import sys
import threading
import time
from base64 import b64encode
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

SMALL = {"n": 2, "sampler": {"name": "ddim", "steps": 20}}
PAUSE_S = 0.2


def call(method: str, url: str, body: str, prefer: str = "") -> tuple[int, object]:
    """Status and body: JSON as it is, anything else in base64. Status 0: nobody answered."""
    request = Request(url, method=method, data=body.encode() or None)
    request.add_header("content-type", "application/json")
    request.add_header("prefer", prefer)
    try:
        with urlopen(request, timeout=90) as answer:
            raw, status, kind = answer.read(), answer.status, answer.headers["content-type"]
    except HTTPError as error:
        raw, status, kind = error.read(), error.code, error.headers["content-type"]
    except (URLError, OSError) as error:
        return 0, str(error)
    return status, json.loads(raw) if "json" in (kind or "") else b64encode(raw).decode()


def load(url: str, ended: threading.Event) -> list[dict[str, object]]:
    """What became of each request, and of the job that it made."""
    requests = []
    while not ended.is_set():
        requests.append(call("POST", f"{url}/v1/jobs", json.dumps(SMALL)))
        time.sleep(PAUSE_S)
    return [{"status": status, "job": _end_of(url, body)} for status, body in requests]


def _end_of(url: str, body: object) -> object:
    """The job once it is done; what was said instead of one."""
    while isinstance(body, dict) and "id" in body and not body["done"]:
        _, body = call("GET", f"{url}/v1/jobs/{body['id']}", "", "wait=30")
    return body


def main() -> None:
    """See above."""
    if sys.argv[1] != "load":
        status, body = call(*sys.argv[1:])
        json.dump({"status": status, "body": body}, sys.stdout)
        return
    ended = threading.Event()
    threading.Thread(target=_until_told, args=(ended,)).start()
    json.dump(load(sys.argv[2], ended), sys.stdout)


def _until_told(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
