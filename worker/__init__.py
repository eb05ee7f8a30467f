"""The GPU side: a continuous-batching engine, and the RQ worker that feeds it.

Decisions (`row`, `scheduler`, `engine`) import no torch, no Redis and read no clock; `runner` alone
touches the device; `batch_worker`, `safe_job` and `reaper` alone touch RQ.
"""
