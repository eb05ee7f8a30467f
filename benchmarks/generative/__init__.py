"""A DCGAN, a VAE and a DDPM, each trained for as long on the same images, judged alike."""
