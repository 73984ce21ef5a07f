"""What `lofi <command>` does, a file a subject. Results go to stdout, everything else to stderr."""
