"""When something can be booked: `rules` for one slot, `availability` for lists and alternatives."""
