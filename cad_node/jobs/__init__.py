"""The durable work: when a study is complete, processing it, sending what was made."""
