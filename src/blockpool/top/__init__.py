"""The live view of `blockpool top`: pools, and what is in one, in a terminal.

What is seen comes from `blockpool.observe`. The modules, bottom up: `values`, `colours`, `picture`, `tables` and
`lines` are pure functions from data to text; `feed` looks; `widgets` put text on the screen, a changed line at a time;
`terminal` is the terminal itself; the screens and `app` join them.
"""
