"""What the robot can do, one file a family; a new file is enough."""
