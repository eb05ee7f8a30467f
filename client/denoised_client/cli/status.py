"""What went wrong, for the person at the terminal and as an exit status.

0    done
1    the job failed, was canceled or has expired; of `verify`: the pixels do not match
2    wrong usage, a request or an address that cannot be written, or a file that cannot be read or
     written, or would be overwritten
3    the service refused
4    the service could not be reached, or what answered does not speak its contract
130  interrupted by Ctrl-C
"""

import sys

from denoised_client.errors import ApiError, DenoisedError, JobEnded, Unsendable

JOB_ENDED, USAGE, REFUSED, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 130


def told(error: DenoisedError | OSError, *, about: str = "") -> int:
    """The status, with what went wrong on one line, and each field of a request at fault."""
    sys.stderr.write(f"denoised: {about}{error}\n")
    if isinstance(error, ApiError):
        sys.stderr.writelines(f"  {fault.pointer}: {fault.detail}\n" for fault in error.errors)
        return REFUSED
    if isinstance(error, JobEnded):
        return JOB_ENDED
    is_ours = isinstance(error, Unsendable) or not isinstance(error, DenoisedError)
    return USAGE if is_ours else UNREACHABLE
