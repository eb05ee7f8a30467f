"""HTTP. Knows Redis only through `protocol`, and never loads torch, numpy, models or worker.

settings, errors <- schemas, resources, problems <- resolve, views <- jobs, images, models,
deliveries <- deps <- routers <- main
"""
