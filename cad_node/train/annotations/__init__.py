"""The annotation network: marks drawn with exact truth, training, and scoring.

A scanner's marks cannot be had with their true pixels, so they are drawn on
tissue from which the marks were taken: the pixels that a drawing changed are known.
"""
