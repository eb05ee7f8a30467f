"""What the HTTP front end and the workers say to each other, and the only code that knows where.

No torch, no FastAPI. `shard_queue` alone imports rq (see docs/decisions/0002).
"""
