"""What can be set, where it came from, the files of a cluster, and what keeps others out."""
