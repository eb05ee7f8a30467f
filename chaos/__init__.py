"""The promises about what dies, proved by breaking things: real processes, a real Redis, real HTTP.

`python -m chaos` (or `make chaos`) submits jobs while it kills, freezes, fills and cuts, then holds
every job to what was promised. What happens when is drawn from a seed (`plan`); the rest acts.
"""
