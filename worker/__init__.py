"""The GPU side: a continuous-batching engine, and the RQ worker that feeds it.

Decisions (`row`, `places`, `scheduler`, `company`, `claim_order`) import no torch, no Redis, no RQ,
and read no clock; `engine` carries them out, and its clock only measures. `runner` and `cuda` alone
touch the device while it steps. RQ is known to `batch_worker`, `leases`, `safe_job`, `reaper`,
`janitor` and `service`.
"""
