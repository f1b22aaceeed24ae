"""What is played: the salon, the shapes of requests, the stage, and every strategy by name."""
