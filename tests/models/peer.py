"""diffusers as a module without types: its classes are made by undeclared decorators, which
`mypy --strict` would refuse at every call."""

import importlib
from typing import Any

diffusers: Any = importlib.import_module("diffusers")
training_utils: Any = importlib.import_module("diffusers.training_utils")
