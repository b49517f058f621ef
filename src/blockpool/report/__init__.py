"""Results of commands, and pure functions that turn them into text, tables and JSON."""
