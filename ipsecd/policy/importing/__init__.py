"""What was written for Windows' IPsec, as policy files of ours."""
