"""How a network begins: as in the paper's code.

In hojonathanho/diffusion (diffusion_tf/nn.py and models/unet.py) every convolution and dense layer
begins with `default_init`: variance_scaling(1, fan_avg, uniform), which is Glorot's; biases are 0.
The last layer of each residual block, of each attention and of the network has a scale of 1e-10
instead, which is zero: every block begins as the identity, and the network predicts nothing.
PyTorch's own defaults are sqrt(3) times smaller where a layer is as wide as what it reads, and draw
the biases.
"""

from torch import nn

from models.unet import UNet

LAST_LAYERS = ("conv2", "to_out.0", "conv_out")


def initialise(net: UNet) -> UNet:
    """Draw the network's weights anew, from torch's generator; the same network.

    GroupNorm stays at one and zero. The embedding of classes, which the paper has not, stays
    torch's N(0, 1).
    """
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias is not None, name
            nn.init.zeros_(module.bias)
            if name.endswith(LAST_LAYERS):
                nn.init.zeros_(module.weight)
            else:
                nn.init.xavier_uniform_(module.weight)
    return net
