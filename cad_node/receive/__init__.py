"""Door 1: other machines send studies by C-STORE, and report on the results that they were sent.

Checks an instance, hands it on by a callable, and answers with a status. It
neither decodes pixels nor analyses anything, and it knows no folder but the one
it is given for what is still coming in.

- `scp.py` the Storage SCP: who may send or report, what an instance must be, the answer
- `contexts.py` SOP Classes and transfer syntaxes that are negotiated
- `status.py` the DIMSE status of each error
- `dataset.py` the UIDs of an encoded data set, and whether it is complete
- `incoming.py` the bytes of a data set while they come in
- `part10.py` File Meta Information
- `connection.py`, `messages.py`, `association.py`, `server.py` pynetdicom, hardened for an open port
"""

from cad_node.receive.scp import StorageScp

__all__ = ["StorageScp"]
