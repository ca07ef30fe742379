"""The line: siblings that hand on through `clarion.domain.handoffs` and never import each other."""
