"""The way to PostgreSQL and back: sessions, what travels, what its errors mean, what is stored."""
