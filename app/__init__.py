"""HTTP. Knows Redis only through `protocol`, and never loads torch, numpy, models or worker.

Each imports from those before it alone:

settings, keys, schemas <- resources, errors <- problems, openapi, gate, views, records
    <- images, deliveries, job_pages, verify <- jobs, submissions <- answers, feeds <- deps
    <- routers <- main
"""
