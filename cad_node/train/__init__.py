"""Training and scoring: from images with masks to a model folder with its evidence.

Not needed on a node that only runs models.
"""
