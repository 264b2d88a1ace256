"""What the command line shows and how it ends; the verbs themselves are in `cli`."""
