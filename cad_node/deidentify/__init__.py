"""Headers of cleaned copies: who the patient was goes, what the image shows stays.

PS3.15 Basic Application Level Confidentiality Profile with Clean Pixel Data:
`profile` is the policy, `options` what a user may keep, `pseudonyms` the new
names, `pixels` the encoding. This room changes headers and encodes pixels that
are clean already; it cleans none, and says that they are clean only when told so.
"""
