"""What programs with a page share: for echo, live and the command line; lessons do not need it."""
