"""What a node keeps, and where: orders carried out on the engine."""
