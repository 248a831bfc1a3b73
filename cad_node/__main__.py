"""`python -m cad_node`."""

from cad_node.cli import main

if __name__ == "__main__":
    main()
