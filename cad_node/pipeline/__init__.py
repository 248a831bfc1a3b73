"""From decoded frames to findings: clean, segment, classify, measure.

Never sees a DICOM data set, and knows no network library: the doors hand it a
model that keeps the `Model` contract of `segment.py`.
"""
