"""`denoised`: the client on the command line."""
