"""What the HTTP front end and the workers say to each other, and the only code that knows where.

No torch, no FastAPI. `shard_queue` and `claiming` alone import rq (see docs/decisions/0002). The
modules lie in layers, from keys and messages up to what moves a job; pyproject.toml has them all.
"""
