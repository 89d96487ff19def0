"""The composition root: builds the graph and maps effects to I/O."""
