"""Files to run the node with; `generate.py` writes what follows from the code."""
