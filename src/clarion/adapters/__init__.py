"""Ports made real: state, facts, the network, the machine's clock and chance."""
