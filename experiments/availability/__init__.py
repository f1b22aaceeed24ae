"""What the availability notebook shows: clocks, a week, lost slots, buffers, honesty and cost."""
