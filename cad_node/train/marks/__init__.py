"""The proof that cleaning matters: what burnt-in marks, and taking them off, do to the lesion network."""
