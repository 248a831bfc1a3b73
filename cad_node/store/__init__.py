"""What the node keeps: received files, the journal of what happened, results."""
