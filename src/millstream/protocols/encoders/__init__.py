"""Events to the wires that clients expect, one file per wire. Pure and synchronous, as the decoders are."""
