"""One module per published claim; each prints its figures beside its peers' from the same run."""
