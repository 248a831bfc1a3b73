"""What is timed or scored, and against what; never a test."""
