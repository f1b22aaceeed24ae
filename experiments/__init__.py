"""The lab's instruments; they import booking_core, never the other way round."""
