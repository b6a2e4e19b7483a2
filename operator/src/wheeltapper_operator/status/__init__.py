"""What is said of an object in its status: pure functions of what was observed and a clock."""
