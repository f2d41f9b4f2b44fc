"""Records with dotted vector clocks: what they are, how they are made, merged and read."""
