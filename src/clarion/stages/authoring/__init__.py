"""From what an operator writes to what each person reads: checks, columns, links, previews."""
