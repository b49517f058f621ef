"""What commands found, and pure functions that make it something to read: text, tables, JSON."""
