"""Who owns what: slots, ring, topology document, planner."""
