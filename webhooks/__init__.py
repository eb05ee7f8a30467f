"""The sender of webhooks: takes deliveries from Redis, signs them, POSTs them. Knows no HTTP API.

event, schedule, signing, transport <- poster <- sender <- main
"""
