"""How the topology changes: who decides on the next document, what it says, how it is learned."""
