"""DDPM itself: schedule, sampler plans, U-Net, diffusion maths, noise, checkpoints, training.

Conventions, said once:

- tensors are B C H W; images inside are float in [-1, 1], outside they are uint8;
- ``t`` counts 0 ... T-1 (the paper's t is one more);
- ``alpha_bar`` is the paper's cumulative product, ``eps`` its noise, ``x_t`` its latent.
"""
