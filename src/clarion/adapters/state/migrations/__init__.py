"""The state schema's history: numbered SQL files, each run by the version of the same number."""
