"""`python -m clarion.cli` is `clarion`."""

from clarion.cli.entry import main

if __name__ == "__main__":
    main()
