"""`python -m denoised_client` is `denoised`."""

import sys

from denoised_client.cli.main import main

sys.exit(main())
