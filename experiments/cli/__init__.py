"""The command `booking-lab`, a file a command."""
