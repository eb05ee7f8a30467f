"""What the HTTP front end and the workers say to each other, and the only code that knows where.

No torch, no FastAPI. `shard_queue` alone imports rq (see docs/decisions/0002). Each imports from
those before it alone:

keys, messages, states <- event_log, idempotency, registry, shard_queue, webhook_store
    <- job_record, job_scripts <- admission <- job_intake, job_store, job_list <- image_store
"""
