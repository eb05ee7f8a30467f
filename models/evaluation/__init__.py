"""How good the images of a model are: features, distances between sets of images, a report.

Images are uint8 (N, C, H, W), as served; features float64 (N, D).
"""
